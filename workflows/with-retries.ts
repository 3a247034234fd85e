import { isCancellation, sleep } from '@temporalio/workflow'
import { BUDGETS, type FailureKind, waitBefore } from './failure-kinds.ts'
import { type Failure, failureOf, finalFailure } from './failure.ts'

export interface Attempts {
  attempt(attempt: number): void
  failed(failure: Failure): void
}

/**
 * Runs a stage until it succeeds or the budget of the kind of failure that it meets is spent. Each attempt is an activity
 * that the server itself does not retry: which failures are worth another attempt is decided here, by kind.
 */
export async function withRetries<T>(record: Attempts, run: (attempt: number) => Promise<T>): Promise<T> {
  const spent = new Map<FailureKind, number>()
  for (let attempt = 1; ; attempt++) {
    record.attempt(attempt)
    try {
      return await run(attempt)
    } catch (error) {
      if (isCancellation(error)) throw error
      const failure = failureOf(error)
      record.failed(failure)
      const retry = (spent.get(failure.kind) ?? 0) + 1
      const budget = BUDGETS[failure.kind]
      if (retry > budget.retries) throw finalFailure(failure)
      spent.set(failure.kind, retry)
      const wait = waitBefore(budget, retry)
      if (wait > 0) await sleep(wait)
    }
  }
}
