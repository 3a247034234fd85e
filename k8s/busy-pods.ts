import { CoreV1Api, type KubeConfig, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node'

export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
/** Above the default of 0: of two pods of a ReplicaSet the one without work goes first. */
const BUSY_COST = '1000'

/**
 * Tells the ReplicaSets which of the workers' pods have work, so that scaling from N to 1 takes an idle one. The workers
 * themselves need no right to patch anything.
 */
export class BusyPods {
  readonly #api: CoreV1Api
  readonly #namespace: string
  readonly #selector: string
  /** Job to the pod that works on it. */
  readonly #podOf = new Map<string, string>()

  constructor(config: KubeConfig, namespace: string, selector: string) {
    this.#api = config.makeApiClient(CoreV1Api)
    this.#namespace = namespace
    this.#selector = selector
  }

  /** A worker's identity is `pid@host`, and a pod's host is its name. */
  seenOn(uid: string, workerIdentity: string | undefined): void {
    const pod = workerIdentity?.split('@')[1]
    if (pod === undefined) this.#podOf.delete(uid)
    else this.#podOf.set(uid, pod)
  }

  /** Writes the annotation where it is not right. Call it when every job has been looked at since this process leads. */
  async sweep(): Promise<void> {
    const busy = new Set(this.#podOf.values())
    const { items } = await this.#api.listNamespacedPod({
      namespace: this.#namespace,
      labelSelector: this.#selector,
    })
    for (const { metadata } of items) {
      const name = metadata?.name ?? ''
      const cost = busy.has(name) ? BUSY_COST : null
      if ((metadata?.annotations?.[DELETION_COST] ?? null) === cost) continue
      await this.#api.patchNamespacedPod(
        {
          name,
          namespace: this.#namespace,
          body: { metadata: { annotations: { [DELETION_COST]: cost } } },
        },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      )
    }
  }
}
