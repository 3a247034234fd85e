import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, defaultPayloadConverter } from '@temporalio/client'
import type { StageProgress } from '../../src/stages/stage-progress.ts'
import { trainingWorkflowId } from '../../workflows/job.ts'

/** What a heartbeat of training has shown, by the clock of this process. */
interface Sample {
  at: number
  /** Differs between attempts. */
  activity: string
  /** The pod, by its host name. */
  pod: string
  progress: StageProgress
}

const LOOK_MILLISECONDS = 100

/** Looks at the heartbeats of a job's training from outside, until it is stopped. */
export class TrainingWatch {
  readonly samples: Sample[] = []
  #isStopped = false
  readonly #watching: Promise<void>

  constructor(client: Client, jobId: string) {
    this.#watching = this.#watch(client, jobId)
  }

  /** The first sample of which `matches` is true; undefined while there is none. */
  find(matches: (sample: Sample) => boolean): Sample | undefined {
    return this.samples.find(matches)
  }

  /** The first sample since a moment that is so many steps beyond the first one since then, of one attempt. */
  stepsSince(since: number, steps: number): Sample | undefined {
    const later = this.samples.filter((sample) => sample.at > since && isStepping(sample))
    const first = later.findLast(({ activity }, index) => later[index - 1]?.activity !== activity)
    return later.find(
      ({ activity, progress }) =>
        activity === first?.activity && progress.done >= first.progress.done + steps,
    )
  }

  /** The first step that another attempt has done since a moment. */
  newStepOfAnother(activity: string, since: number): Sample | undefined {
    const others = this.samples.filter(
      (sample) => sample.at > since && sample.activity !== activity && isStepping(sample),
    )
    const from = Math.min(...others.map(({ progress }) => progress.done))
    return others.find(({ progress }) => progress.done > from)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#watching
  }

  async #watch(client: Client, jobId: string): Promise<void> {
    const handle = client.workflow.getHandle(trainingWorkflowId(jobId))
    while (!this.#isStopped) {
      // Not there before the first stages are done.
      const description = await handle.describe().catch(() => undefined)
      // An attempt that was given up for lost is pending until its heartbeat is missed: the newest one counts.
      const activity = description?.raw.pendingActivities?.toSorted(
        (a, b) => Number(b.activityId) - Number(a.activityId),
      )[0]
      const [payload] = activity?.heartbeatDetails?.payloads ?? []
      if (activity?.activityId && payload) {
        const progress = defaultPayloadConverter.fromPayload<StageProgress | undefined>(payload)
        const pod = activity.lastWorkerIdentity?.split('@')[1] ?? ''
        // The first heartbeat has nothing to tell yet.
        // Ids of activities begin anew in each run of the training's workflow.
        const id = `${description?.runId} ${activity.activityId}`
        if (progress) this.samples.push({ at: performance.now(), activity: id, pod, progress })
      }
      await sleep(LOOK_MILLISECONDS)
    }
  }
}

export function isStepping({ progress }: Sample): boolean {
  return progress.phase === 'train'
}
