import { setTimeout as sleep } from 'node:timers/promises'
import type { V1Pod } from '@kubernetes/client-node'
import type { Installation } from './installation.ts'

const LOOK_MILLISECONDS = 200
const FLEET = 'cpu'

/** What comes after the other when a node is lost, as the API server shows it. */
const STEPS = [
  'Kubernetes says so',
  'its pod is given up',
  'another container runs',
  'its worker is ready',
] as const

/** Looks at a lost node and at the pods of its fleet from the moment that it is made until it is stopped. */
export class LossWatch {
  readonly #began = performance.now()
  readonly #seen = new Map<string, number>()
  readonly #watching: Promise<void>
  #isStopped = false

  constructor(installation: Installation, lost: { node: string; pod: string }) {
    this.#watching = this.#watch(installation, lost)
    // A case that has failed stops nothing, and its cluster goes.
    this.#watching.catch(() => {})
  }

  /** Seconds of each part that has ended, each counted from the end of the one before. */
  parts(end: number): Record<string, number> {
    let before = this.#began
    const parts: Record<string, number> = {}
    for (const step of STEPS) {
      const at = this.#seen.get(step)
      if (at === undefined) continue
      parts[step] = Math.max(0, at - before) / 1000
      before = Math.max(before, at)
    }
    parts['the first step'] = (end - before) / 1000
    return parts
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#watching
  }

  async #watch(installation: Installation, lost: { node: string; pod: string }): Promise<void> {
    while (!this.#isStopped) {
      const { status } = await installation.core.readNode({ name: lost.node })
      const isReady = status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
      const pods = await installation.pods(FLEET)
      const old = pods.find(({ metadata }) => metadata?.name === lost.pod)
      const others = pods.filter(({ metadata }) => metadata?.name !== lost.pod)
      const now = [
        isReady !== true,
        old === undefined || old.metadata?.deletionTimestamp !== undefined,
        others.some(({ status }) => status?.containerStatuses?.[0]?.state?.running !== undefined),
        others.some(isReadyPod),
      ]
      for (const [index, step] of STEPS.entries())
        if (now[index] && !this.#seen.has(step)) this.#seen.set(step, performance.now())
      await sleep(LOOK_MILLISECONDS)
    }
  }
}

function isReadyPod({ status }: V1Pod): boolean {
  return Boolean(status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'))
}
