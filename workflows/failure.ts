import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow'
import { type FailureKind, kindOfType } from './failure-kinds.ts'

export interface Failure {
  kind: FailureKind
  /** One sentence for the person who owns the job. */
  message: string
}

/** What an activity's or a child workflow's rejection means. Cancellation is not a failure: ask isCancellation first. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) return failureOf(error.cause)
  if (error instanceof TimeoutFailure) {
    return error.timeoutType === 'HEARTBEAT'
      ? { kind: 'lost', message: 'The worker gave no sign of life; it was killed or its machine was lost.' }
      : { kind: 'internal', message: `The stage took longer than it may (${error.timeoutType}).` }
  }
  if (error instanceof ApplicationFailure) return { kind: kindOfType(error.type), message: error.message }
  return { kind: 'internal', message: error instanceof Error ? error.message : String(error) }
}

/** The failure as the end of a workflow: never retried by the server, since the workflow has spent the budget itself. */
export function finalFailure(failure: Failure): ApplicationFailure {
  return ApplicationFailure.nonRetryable(failure.message, failure.kind)
}
