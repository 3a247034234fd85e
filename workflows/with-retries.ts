import { isCancellation, sleep } from '@temporalio/workflow'
import type { Recovered } from '../src/failures/failure-details.ts'
import type { FailureKind } from '../src/failures/failure-kind.ts'
import { FAILURES, waitBefore } from '../src/failures/failures.ts'
import { type Failure, failureOf, finalFailure } from './failure.ts'
import type { PodReports } from './pod-reports.ts'

export interface Attempts {
  /** What a cluster's controller reports of the workers. */
  reports?: PodReports
  attempt(attempt: number): void
  /** `seconds`: since the attempt began. */
  failed(failure: Failure, seconds: number): void | Promise<void>
}

export interface RetryRules {
  /** Retries by kind, where the job says otherwise than src/failures/failures.ts. */
  retries?: Partial<Record<FailureKind, number>>
  /** Makes the next attempt smaller after one that had not the memory; false where nothing is left to make smaller. */
  relieve?: () => boolean
}

/**
 * Runs a stage until it succeeds or the budget of the kind of failure that it meets is spent. Each attempt is an activity
 * that the server itself does not retry: which failures are worth another attempt is decided here, by kind.
 */
export async function withRetries<T>(
  record: Attempts,
  run: (attempt: number, after?: Recovered) => Promise<T>,
  { retries = {}, relieve }: RetryRules = {},
): Promise<T> {
  const { reports } = record
  const spent = new Map<FailureKind, number>()
  let after: Recovered | undefined
  for (let attempt = 1; ; attempt++) {
    record.attempt(attempt)
    const begun = Date.now()
    try {
      return await (reports ? reports.watch(attempt, () => run(attempt, after)) : run(attempt, after))
    } catch (error) {
      if (isCancellation(error)) throw error
      const seconds = (Date.now() - begun) / 1000
      const failure = reports ? await reports.explain(attempt, failureOf(error)) : failureOf(error)
      await record.failed(failure, seconds)
      const { kind, lost } = failure
      after = { kind, ...(lost && { lost }) }
      const { budget } = FAILURES[kind]
      const retry = (spent.get(kind) ?? 0) + 1
      if (retry > (retries[kind] ?? budget.retries)) throw finalFailure(failure)
      // The same again needs the same memory.
      if (kind === 'outOfMemory' && !relieve?.()) throw finalFailure(failure)
      spent.set(kind, retry)
      const wait = waitBefore(budget, retry)
      if (wait > 0) await sleep(wait)
    }
  }
}
