import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ApiException,
  KubeConfig,
  KubernetesObjectApi,
  type V1CustomResourceDefinition,
  loadYaml,
} from '@kubernetes/client-node'
import { controlPlaneMissing } from '../support/cluster/binaries.ts'
import { type ControlPlane, startControlPlane } from '../support/cluster/control-plane.ts'

/** Why there can be no API server here; undefined where there can, and in CI, where a missing one has to fail. */
export async function missingApiServer(): Promise<string | undefined> {
  const missing = await controlPlaneMissing()
  return process.env['CI'] ? undefined : missing
}

export interface TestCluster {
  plane: ControlPlane
  config: KubeConfig
  objects: KubernetesObjectApi
  stop(): Promise<void>
}

/** A real API server that knows FineTunes, with nobody else in it. */
export async function startTestCluster(): Promise<TestCluster> {
  const plane = await startControlPlane()
  const config = new KubeConfig()
  config.loadFromFile(plane.kubeconfig)
  const objects = KubernetesObjectApi.makeApiClient(config)
  try {
    await installCrd(objects)
  } catch (error) {
    await plane.stop()
    throw error
  }
  return { plane, config, objects, stop: () => plane.stop() }
}

async function installCrd(objects: KubernetesObjectApi): Promise<void> {
  const file = new URL('../../charts/temper/crds/finetunes.temper.dev.yaml', import.meta.url)
  const crd = loadYaml<V1CustomResourceDefinition & { metadata: { name: string } }>(
    await readFile(file, 'utf8'),
  )
  await objects.create(crd)
  for (;;) {
    const { status } = await objects.read<V1CustomResourceDefinition>({
      apiVersion: crd.apiVersion ?? '',
      kind: crd.kind ?? '',
      metadata: { name: crd.metadata.name },
    })
    const refused = status?.conditions?.find(
      ({ type, status }) => type === 'NonStructuralSchema' && status === 'True',
    )
    if (refused) throw new Error(`the CRD's schema is not structural: ${refused.message}`)
    if (status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True')) break
    await sleep(50)
  }
  while (!(await isServed(objects))) await sleep(50)
}

/** For a moment after a definition is established its objects cannot be read: "storage is (re)initializing". */
async function isServed(objects: KubernetesObjectApi): Promise<boolean> {
  try {
    await objects.list('temper.dev/v1alpha1', 'FineTune', 'default')
    return true
  } catch (error) {
    const TOO_MANY_REQUESTS = 429
    if (error instanceof ApiException && error.code === TOO_MANY_REQUESTS) return false
    throw error
  }
}

export async function createNamespace({ objects }: TestCluster, name: string): Promise<void> {
  await objects.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
}

/** A small document; `spec` is laid over its sections. */
export function fineTune(
  name: string,
  spec: Record<string, unknown> = {},
  namespace = 'default',
): FineTuneObject {
  return {
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name, namespace },
    spec: { model: { source: '/models/tiny' }, data: { train: ['/data/rows.jsonl'] }, ...spec },
  }
}

interface FineTuneObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace: string }
  spec: Record<string, unknown>
}
