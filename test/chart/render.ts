import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { runCommand } from '../../src/local/run-command.ts'
import { program } from '../support/cluster/binaries.ts'

const chart = fileURLToPath(new URL('../../charts/temper/', import.meta.url))

/** Any field may be asked for; what is not there is undefined. */
export interface Rendered {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> }
  data?: Record<string, string>
  // Manifests of many kinds: their fields are looked at one by one.
  spec?: { template?: PodTemplate; [field: string]: unknown }
}

interface PodTemplate {
  metadata: { labels: Record<string, string>; annotations: Record<string, string> }
  spec: PodSpec
}

interface PodSpec {
  tolerations?: object[]
  imagePullSecrets?: object[]
  initContainers?: object[]
  volumes?: object[]
  topologySpreadConstraints?: object[]
  automountServiceAccountToken: boolean
  nodeSelector?: Record<string, string>
  terminationGracePeriodSeconds?: number
  securityContext: object
  containers: {
    image: string
    env: { name: string; value?: string }[]
    ports: { name: string }[]
    volumeMounts?: object[]
    securityContext: object
    resources: { limits?: Record<string, string> }
  }[]
}

/** `helm` with the chart and these values. */
export async function helm(command: readonly string[], values: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'temper-values-'))
  try {
    const file = join(folder, 'values.json')
    await writeFile(file, JSON.stringify(values))
    return await runCommand(await program('helm'), [...command, chart, '--values', file], {
      timeoutMilliseconds: 60_000,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The chart's manifests of a release `t`. */
export async function render(values: object, namespace = 'team'): Promise<Rendered[]> {
  const text = await helm(['template', 't', '--namespace', namespace], values)
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((manifest) => manifest !== null)
}

export function find(manifests: readonly Rendered[], kind: string, name: string): Rendered {
  const manifest = manifests.find((one) => one.kind === kind && one.metadata.name === name)
  if (manifest) return manifest
  throw new Error(
    `no ${kind} ${name} among ${manifests.map((one) => `${one.kind} ${one.metadata.name}`).join(', ')}`,
  )
}
