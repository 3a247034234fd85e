import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity'
import { StoppedError } from '../src/errors.ts'
import { classify } from '../src/failures/classify.ts'
import type { Evidence } from '../src/failures/evidence.ts'
import type { FailureDetails, Lost } from '../src/failures/failure-details.ts'
import type { ChildEvidence } from '../src/train/run-child.ts'

/** What the attempt has seen beside the error. */
export interface AttemptSeen {
  /** Processes of this container killed for memory while it ran. */
  oomKills: number
  lost: Lost | undefined
  /** The node that it ran on, where the worker knows it. */
  node: string | undefined
}

/**
 * An error as Temporal carries it: its kind is the failure's type, by which the workflow decides what to do next; the details
 * say by which evidence. What an activity throws after it was told to stop is not a failure of its own, whatever it is: a
 * cancelled job is cancelled, a worker that is shut down hands its work to the next.
 */
export function applicationFailure(error: unknown, seen: AttemptSeen): Error {
  const { cancellationSignal, cancellationDetails } = Context.current()
  if (cancellationSignal.aborted) {
    if (cancellationDetails?.cancelRequested) return new CancelledFailure('the job was cancelled')
    const stopped = new StoppedError('The worker was shut down; the next one goes on from what is saved.')
    return failureOf(stopped, error, seen)
  }
  return failureOf(error, error, seen)
}

function failureOf(
  error: unknown,
  cause: unknown,
  { oomKills, lost, node }: AttemptSeen,
): ApplicationFailure {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const child = error instanceof Error ? childOf(error.cause) : undefined
  const evidence: Evidence = {
    error: { name, message },
    oomKills,
    ...(child && { child }),
    ...(node && { node: { name: node } }),
  }
  const { kind, ...classified } = classify(evidence)
  const details: FailureDetails = { ...classified, ...(lost && { lost }) }
  return ApplicationFailure.create({
    message,
    type: kind,
    nonRetryable: true,
    details: [details],
    ...(cause instanceof Error && { cause }),
  })
}

/** The child's end is the cause of the error that runChild throws. */
function childOf(cause: unknown): ChildEvidence | undefined {
  return typeof cause === 'object' && cause !== null && 'lastWords' in cause
    ? (cause as ChildEvidence)
    : undefined
}
