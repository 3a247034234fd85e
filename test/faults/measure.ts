import type { Measured } from './fault-case.ts'
import type { FaultJob } from './fault-job.ts'

/**
 * From the kill to the first step that was computed after it, as heartbeats show it (they travel at most once a second, so
 * times are up to a second too long), and how many steps were computed twice.
 */
export async function recoveryAfter(job: FaultJob, killedAt: number, killed: string): Promise<Measured> {
  const resumed = (await job.log()).findLast(({ message }) => message === 'resumed')
  const from = typeof resumed?.fields.step === 'number' ? resumed.fields.step : 0
  const before = job.samples.filter(({ activity, at }) => activity === killed && at <= killedAt)
  const reached = before.at(-1)?.progress.done ?? 0
  const first = job.samples.find(
    ({ activity, at, progress }) => activity !== killed && at > killedAt && progress.done > from,
  )
  // Quick steps: training may be over before its first heartbeat.
  if (first === undefined) return {}
  return {
    recoverySeconds: (first.at - killedAt) / 1000,
    stepsLost: Math.max(0, reached - from),
  }
}
