import type { FailureCounts } from '../../src/failures/failure-details.ts'
import type { Recovery } from './fault-case.ts'
import type { FaultJob } from './fault-job.ts'

/**
 * Waits for the first step that is computed after the kill, as heartbeats show it: they travel at most once a second, so times
 * are up to a second too long. The steps to be done again are those that the job itself has counted.
 */
export async function recoveryAfter(
  job: FaultJob,
  killedAt: number,
  /** Of the attempt that was hit. An attempt that outlives the kill (of the server) recovers in itself. */
  hit: { activity: string; outlives?: boolean },
  lostBefore: number,
): Promise<Recovery | undefined> {
  const reached = job.samples.findLast(({ at }) => at <= killedAt)?.progress.done ?? 0
  const first = await job.untilSample(({ at, activity, progress }) => {
    if (at <= killedAt) return false
    // A step's heartbeat has a loss from the first step that this attempt has computed.
    if (activity !== hit.activity) return progress.phase === 'train' && progress.loss !== undefined
    return hit.outlives === true && progress.done > reached
  })
  // Quick steps: training may be over before its first heartbeat.
  if (first === undefined) return undefined
  const lost = stepsLost(await job.trainingFailures())
  return { seconds: (first.at - killedAt) / 1000, stepsLost: lost - lostBefore }
}

export function stepsLost(failures: FailureCounts): number {
  return Object.values(failures).reduce((sum, { steps }) => sum + steps, 0)
}
