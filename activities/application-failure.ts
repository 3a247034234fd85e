import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity'
import { StoppedError } from '../src/errors.ts'

/**
 * An error as Temporal carries it: the class's name is the failure's type, by which the workflow decides what to do next.
 * What an activity throws after it was told to stop is not a failure of its own, whatever it is: a cancelled job is cancelled,
 * a worker that is shut down hands its work to the next.
 */
export function applicationFailure(error: unknown): Error {
  const { cancellationSignal, cancellationDetails } = Context.current()
  if (cancellationSignal.aborted) {
    if (cancellationDetails?.cancelRequested) return new CancelledFailure('the job was cancelled')
    const stopped = new StoppedError('The worker was shut down; the next one goes on from what is saved.')
    return failureOf(stopped, error)
  }
  return failureOf(error, error)
}

function failureOf(error: unknown, cause: unknown): ApplicationFailure {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  return ApplicationFailure.create({ message, type: name, nonRetryable: true, ...causeOf(cause) })
}

function causeOf(cause: unknown): { cause?: Error } {
  return cause instanceof Error ? { cause } : {}
}
