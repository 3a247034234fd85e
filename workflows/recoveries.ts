import { countFailure, type FailureCounts } from '../src/failures/failure-details.ts'
import type { Failure } from './failure.ts'
import { explained, isAbout, type PodReport } from './pod-reports.ts'

/** A failure that was answered by another attempt. */
export interface Recovery extends Failure {
  /** The attempt that failed. */
  attempt: number
  /** When, in milliseconds since 1970. */
  at: number
}

/** The newest are kept: they travel in a memo. */
const MAX_RECOVERIES = 20

interface Record {
  failure?: Failure
  failures?: FailureCounts
  recoveries?: Recovery[]
}

/** Writes down that an attempt failed. `seconds` is what it cost where the failure itself does not say. */
export function recordFailure(record: Record, attempt: number, failure: Failure, seconds: number): void {
  const lost = failure.lost ?? { steps: 0, seconds }
  record.failure = failure
  record.failures ??= {}
  countFailure(record.failures, failure.kind, lost)
  const recovery: Recovery = { ...failure, lost, attempt, at: Date.now() }
  record.recoveries = [...(record.recoveries ?? []), recovery].slice(-MAX_RECOVERIES)
}

/** A report that came after the next attempt had begun: the record says what it was. True where it says something new. */
export function correctRecord(record: Record, stage: string, report: PodReport): boolean {
  const { recoveries = [], failures = {} } = record
  const at = recoveries.findLastIndex((one) => isAbout(report, stage, one.attempt, one))
  const before = recoveries[at]
  if (before === undefined) return false
  const after = explained(before, report)
  if (after.kind === before.kind && after.evidence.length === before.evidence.length) return false
  const { attempt, at: time, ...failure } = { ...before, ...after }
  record.recoveries = recoveries.with(at, { ...failure, attempt, at: time })
  if (at === recoveries.length - 1 && record.failure) record.failure = failure
  const { steps, seconds } = before.lost ?? { steps: 0, seconds: 0 }
  const counted = failures[before.kind]
  if (after.kind !== before.kind && counted) {
    if (counted.times > 1)
      failures[before.kind] = {
        times: counted.times - 1,
        steps: counted.steps - steps,
        seconds: counted.seconds - seconds,
      }
    else delete failures[before.kind]
    countFailure(failures, after.kind, { steps, seconds })
  }
  return true
}
