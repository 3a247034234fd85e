import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CoreV1Api, CustomObjectsApi, KubeConfig, type V1Pod } from '@kubernetes/client-node'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import type { Store } from '../../src/store/store.ts'
import { helm, kubectl } from '../support/cluster/kubectl.ts'
import { BUCKET, FIXTURES, PRODUCT, type Surroundings } from './surroundings.ts'

const chart = fileURLToPath(new URL('../../charts/temper/', import.meta.url))
const RELEASE = 'temper'
const INSTALL_TIMEOUT = '180s'
const LOOK_MILLISECONDS = 250
/** Beyond what any case needs: reaching it is a failure, never a measurement. */
const LIMIT_MILLISECONDS = 5 * 60_000

/** A release of the chart in a namespace of its own, with a Temporal namespace and a place in S3 of its own. */
export class Installation {
  readonly namespace: string
  readonly release = RELEASE
  readonly kubeconfig: string
  readonly core: CoreV1Api
  readonly #custom: CustomObjectsApi
  readonly #folder: string
  readonly #values: object
  readonly store: Store

  private constructor(parts: {
    namespace: string
    kubeconfig: string
    folder: string
    values: object
    store: Store
  }) {
    this.namespace = parts.namespace
    this.kubeconfig = parts.kubeconfig
    this.#folder = parts.folder
    this.#values = parts.values
    this.store = parts.store
    const config = new KubeConfig()
    config.loadFromFile(parts.kubeconfig)
    this.core = config.makeApiClient(CoreV1Api)
    this.#custom = config.makeApiClient(CustomObjectsApi)
  }

  /** The namespace enforces the restricted Pod Security standard; nothing is installed yet. */
  static async prepare(place: Surroundings, name: string, values: object = {}): Promise<Installation> {
    const cluster = await place.cluster()
    const temporal = await place.temporal()
    const s3 = await place.s3()
    await temporal.clientOf(name)
    const installation = new Installation({
      namespace: name,
      kubeconfig: cluster.kubeconfig,
      folder: place.folder,
      values: merge(
        {
          image: { ...PRODUCT, pullPolicy: 'Never' },
          temporal: { address: temporal.address, namespace: name },
          store: { uri: `s3://${BUCKET}/${name}`, endpoint: s3.endpoint, existingSecret: 's3' },
          cpuFleet: { resources: SMALL },
          fleets: [{ name: 'cpu', taskQueue: 'finetune-train-cpu', replicas: 1, resources: SMALL }],
          controller: { resources: { requests: { cpu: '20m', memory: '100Mi' } } },
          ...fixtures(),
        },
        values,
      ),
      store: await place.store(name),
    })
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    await installation.core.createNamespace({ body: { metadata: { name, labels } } })
    await installation.core.createNamespacedSecret({
      namespace: name,
      body: {
        metadata: { name: 's3' },
        stringData: { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey },
      },
    })
    return installation
  }

  async install(): Promise<void> {
    try {
      await this.#helm(['install', RELEASE, chart, '--wait', '--timeout', INSTALL_TIMEOUT], {})
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.describe()}`, { cause: error })
    }
  }

  async upgrade(values: object, wait = true): Promise<void> {
    const words = wait ? ['--wait', '--timeout', INSTALL_TIMEOUT] : []
    await this.#helm(['upgrade', RELEASE, chart, ...words], values)
  }

  test(): Promise<string> {
    return helm(this, ['test', RELEASE, '--namespace', this.namespace])
  }

  async uninstall(): Promise<void> {
    await helm(this, ['uninstall', RELEASE, '--namespace', this.namespace, '--wait'])
  }

  async #helm(words: readonly string[], values: object): Promise<void> {
    const file = join(this.#folder, `${this.namespace}-values.json`)
    await writeFile(file, JSON.stringify(merge(this.#values, values)))
    await helm(this, [...words, '--namespace', this.namespace, '--values', file])
  }

  kubectl(...words: string[]): Promise<string> {
    return kubectl(this, ['--namespace', this.namespace, ...words])
  }

  /** `kubectl apply` of a document. */
  async apply(document: object): Promise<void> {
    const file = join(this.#folder, `${this.namespace}-document.json`)
    await writeFile(file, JSON.stringify(document))
    await this.kubectl('apply', '-f', file)
  }

  async read(name: string): Promise<FineTuneResource> {
    return (await this.#custom.getNamespacedCustomObject({
      group: 'temper.dev',
      version: 'v1alpha1',
      plural: 'finetunes',
      namespace: this.namespace,
      name,
    })) as FineTuneResource
  }

  /** Waits until the resource is so; a job that failed is waited for no longer. */
  async until(
    name: string,
    what: string,
    matches: (resource: FineTuneResource) => boolean,
  ): Promise<FineTuneResource> {
    return this.eventually(what, async () => {
      const resource = await this.read(name)
      if (matches(resource)) return resource
      const failed = resource.status?.conditions.find(
        ({ type, status }) => type === 'Failed' && status === 'True',
      )
      if (failed) throw new Error(`${name} failed before ${what}: ${failed.message}`)
      return undefined
    })
  }

  async eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    const end = performance.now() + LIMIT_MILLISECONDS
    while (performance.now() < end) {
      const found = await look()
      if (found !== undefined) return found
      await sleep(LOOK_MILLISECONDS)
    }
    throw new Error(`waited for ${what} in vain:\n${await this.describe()}`)
  }

  complete(name: string): Promise<FineTuneResource> {
    return this.until(name, 'its completion', ({ status }) => isTrue(status, 'Complete'))
  }

  async pods(fleet: string): Promise<V1Pod[]> {
    const labelSelector = `temper.dev/fleet=${fleet}`
    return (await this.core.listNamespacedPod({ namespace: this.namespace, labelSelector })).items
  }

  /** For a failure's message: what there is, and the last words of the pods. */
  async describe(): Promise<string> {
    const parts = [await this.kubectl('get', 'finetunes,pods', '-o', 'wide')]
    parts.push(await this.kubectl('get', 'events', '--sort-by=.lastTimestamp'))
    const { items } = await this.core.listNamespacedPod({ namespace: this.namespace })
    for (const { metadata } of items) {
      const name = metadata?.name ?? ''
      const log = await this.kubectl('logs', name, '--tail=15', '--all-containers').catch(String)
      parts.push(`${name}:\n${log}`)
    }
    return parts.join('\n')
  }
}

function isTrue(status: FineTuneResource['status'], wanted: string): boolean {
  return Boolean(status?.conditions.some(({ type, status }) => type === wanted && status === 'True'))
}

/** Two cores carry two nodes and everything else. */
export const SMALL = { requests: { cpu: '50m', memory: '200Mi' }, limits: { memory: '2Gi' } }

/** The tiny model and its rows come to /data by an init container, as a team's own would. */
function fixtures(): object {
  const script = "require('fs').cpSync('/fixtures', '/data', { recursive: true })"
  return {
    extraVolumes: [{ name: 'data', emptyDir: {} }],
    extraVolumeMounts: [{ name: 'data', mountPath: '/data' }],
    extraInitContainers: [
      {
        name: 'fixtures',
        image: FIXTURES,
        imagePullPolicy: 'Never',
        command: ['node', '-e', script],
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
  }
}

/** Objects are laid over each other field by field, anything else is replaced. */
function merge(base: object, changes: object): object {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(changes)) {
    const before = merged[name]
    merged[name] = isPlain(before) && isPlain(value) ? merge(before, value) : value
  }
  return merged
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
