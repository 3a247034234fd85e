import {
  ApiException,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  type V1Pod,
  setHeaderOptions,
} from '@kubernetes/client-node'
import { hostOf } from './pod-reports.ts'

export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
/** Above the default of 0: of two pods of a ReplicaSet the one without work goes first. */
const BUSY_COST = '1000'
const NOT_FOUND = 404

/**
 * Tells the ReplicaSets which of the workers' pods have work, so that scaling from N to 1 takes an idle one. The workers
 * themselves need no right to patch anything.
 */
export class BusyPods {
  readonly #api: CoreV1Api
  readonly #namespace: string
  readonly #pods: () => V1Pod[]
  /** Job to the pod that works on it. */
  readonly #podOf = new Map<string, string>()

  /** `pods`: the workers' pods as they are now. */
  constructor(config: KubeConfig, namespace: string, pods: () => V1Pod[]) {
    this.#api = config.makeApiClient(CoreV1Api)
    this.#namespace = namespace
    this.#pods = pods
  }

  seenOn(uid: string, workerIdentity: string | undefined): void {
    const pod = workerIdentity === undefined ? undefined : hostOf(workerIdentity)
    if (pod === undefined) this.#podOf.delete(uid)
    else this.#podOf.set(uid, pod)
  }

  /** The jobs that were last seen on one of these pods. */
  jobsOn(pods: readonly string[]): string[] {
    return [...this.#podOf].filter(([, pod]) => pods.includes(pod)).map(([uid]) => uid)
  }

  /** Writes the annotation where it is not right. Call it when every job has been looked at since this process leads. */
  async sweep(): Promise<void> {
    const busy = new Set(this.#podOf.values())
    for (const { metadata } of this.#pods()) {
      const name = metadata?.name ?? ''
      const cost = busy.has(name) ? BUSY_COST : null
      if ((metadata?.annotations?.[DELETION_COST] ?? null) === cost) continue
      try {
        await this.#api.patchNamespacedPod(
          {
            name,
            namespace: this.#namespace,
            body: { metadata: { annotations: { [DELETION_COST]: cost } } },
          },
          setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
        )
      } catch (error) {
        // Gone meanwhile.
        if (!(error instanceof ApiException && error.code === NOT_FOUND)) throw error
      }
    }
  }
}
