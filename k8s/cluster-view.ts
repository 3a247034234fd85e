import {
  type CoreV1Event,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  type V1Node,
  type V1Pod,
  setHeaderOptions,
} from '@kubernetes/client-node'
import type { PodSeen } from './pod-evidence.ts'
import { watchObjects } from './watch-objects.ts'

/** Pods that are gone are remembered, so that their jobs can be told; the newest are enough. */
const MAX_GONE = 500
/** Where Kubernetes puts the events of nodes, which belong to no namespace. */
const NODE_EVENTS_NAMESPACE = 'default'

interface ClusterViewOptions {
  config: KubeConfig
  /** Where the workers' pods are. */
  namespace: string
  /** Their labels. */
  workerSelector: string
  /** Nodes with bad hardware may be cordoned. */
  cordons: boolean
  log(message: string): void
}

/** The workers' pods and the cluster's nodes, kept up to date by watching them. */
export class ClusterView {
  readonly #options: ClusterViewOptions
  readonly #core: CoreV1Api
  readonly #pods = new Map<string, V1Pod>()
  readonly #gone = new Map<string, V1Pod>()
  readonly #nodes = new Map<string, V1Node>()
  #knowsNodes = false
  #changed: (pods: readonly string[]) => void = () => {}

  constructor(options: ClusterViewOptions) {
    this.#options = options
    this.#core = options.config.makeApiClient(CoreV1Api)
  }

  /** Keeps the view until the signal comes. `changed` hears the names of pods of which something may be new. */
  async run(signal: AbortSignal, changed: (pods: readonly string[]) => void): Promise<void> {
    this.#changed = changed
    const { config, namespace, workerSelector, log } = this.#options
    await Promise.all([
      watchObjects<V1Pod>(
        config,
        {
          what: 'pods',
          path: `/api/v1/namespaces/${namespace}/pods`,
          labelSelector: workerSelector,
          list: () => this.#core.listNamespacedPod({ namespace, labelSelector: workerSelector }),
          changed: (pod) => this.#podChanged(pod),
          removed: (pod) => this.#podGone(pod),
          log,
        },
        signal,
      ),
      watchObjects<V1Node>(
        config,
        {
          what: 'nodes',
          path: '/api/v1/nodes',
          list: () => this.#core.listNode(),
          changed: (node) => this.#nodeChanged(node),
          removed: (node) => this.#nodeGone(node),
          synced: () => (this.#knowsNodes = true),
          log,
        },
        signal,
      ),
    ])
  }

  /** Takes a node with bad hardware out of the scheduler's hands. A person gives it back: kubectl uncordon. */
  async cordon(name: string): Promise<void> {
    if (!this.#options.cordons || this.#nodes.get(name)?.spec?.unschedulable) return
    await this.#core.patchNode(
      { name, body: { spec: { unschedulable: true } } },
      setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
    )
    this.#options.log(`node ${name} is cordoned: its hardware failed a job`)
  }

  /** Undefined until they are known: a cluster that was not looked at is not one without nodes. */
  nodes(): V1Node[] | undefined {
    return this.#knowsNodes ? [...this.#nodes.values()] : undefined
  }

  pods(): V1Pod[] {
    return [...this.#pods.values()]
  }

  /** Undefined where there never was such a pod among the workers, as far as this process knows. */
  look(name: string): PodSeen | undefined {
    const here = this.#pods.get(name)
    const pod = here ?? this.#gone.get(name)
    if (pod === undefined) return undefined
    const nodeName = pod.spec?.nodeName
    return {
      pod,
      isGone: here === undefined,
      node: nodeName === undefined ? undefined : this.#nodes.get(nodeName),
    }
  }

  /** Of the pod and its node. Asked for when they are wanted: few of a cluster's events ever are. */
  async events(pod: V1Pod): Promise<CoreV1Event[]> {
    const { name, namespace = '' } = pod.metadata ?? {}
    const ofPod = await this.#core.listNamespacedEvent({
      namespace,
      fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${name}`,
    })
    const nodeName = pod.spec?.nodeName
    if (nodeName === undefined) return ofPod.items
    const ofNode = await this.#core.listNamespacedEvent({
      namespace: NODE_EVENTS_NAMESPACE,
      fieldSelector: `involvedObject.kind=Node,involvedObject.name=${nodeName}`,
    })
    const since = pod.status?.startTime ? new Date(pod.status.startTime).getTime() : 0
    return [...ofPod.items, ...ofNode.items.filter((event) => timeOf(event) >= since)]
  }

  #podChanged(pod: V1Pod): void {
    delete pod.metadata?.managedFields
    const name = pod.metadata?.name ?? ''
    this.#pods.set(name, pod)
    this.#changed([name])
  }

  #podGone(pod: V1Pod): void {
    const name = pod.metadata?.name ?? ''
    this.#pods.delete(name)
    this.#gone.set(name, pod)
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= MAX_GONE) break
      this.#gone.delete(oldest)
    }
    this.#changed([name])
  }

  #nodeChanged(node: V1Node): void {
    // Megabytes of a large cluster, which nobody here reads.
    if (node.status) node.status.images = []
    delete node.metadata?.managedFields
    this.#nodes.set(node.metadata?.name ?? '', node)
    this.#changed(this.#podsOn(node))
  }

  #nodeGone(node: V1Node): void {
    this.#nodes.delete(node.metadata?.name ?? '')
    this.#changed(this.#podsOn(node))
  }

  #podsOn({ metadata }: V1Node): string[] {
    return [...this.#pods.values(), ...this.#gone.values()]
      .filter(({ spec }) => spec?.nodeName === metadata?.name)
      .map(({ metadata }) => metadata?.name ?? '')
  }
}

function timeOf({ lastTimestamp, eventTime, firstTimestamp }: CoreV1Event): number {
  const time = lastTimestamp ?? eventTime ?? firstTimestamp
  return time === undefined ? 0 : new Date(time).getTime()
}
