import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow'
import type { FailureDetails, Lost } from '../src/failures/failure-details.ts'
import { type FailureKind, isFailureKind, kindOfErrorName } from '../src/failures/failure-kind.ts'
import type { DeclinedType } from '../activities/train.ts'
import type { StageProgress, WorkerPlace } from '../src/stages/stage-progress.ts'

/** Type of the failure by which a worker declines; no kind, since nothing went wrong. */
const DECLINED: DeclinedType = 'declined'

export interface Failure extends FailureDetails {
  kind: FailureKind
  /** One sentence for the person who owns the job. */
  message: string
  /** Where it happened, as far as the attempt's last heartbeat said. */
  worker?: WorkerPlace
}

/** The cluster says that a worker is gone, before its heartbeat was missed. */
export class WorkerGone extends Error {
  override name = 'WorkerGone'
  readonly pod: string
  readonly lost: Lost | undefined
  /** The pod itself is gone and no other will be called so; else its container begins anew. */
  readonly isForGood: boolean
  constructor({ pod, lost, podGone }: { pod: string; lost?: Lost; podGone?: true }) {
    super(`The worker is gone: pod ${pod} has ended.`)
    this.pod = pod
    this.lost = lost
    this.isForGood = podGone === true
  }
}

/** What an activity's or a child workflow's rejection means. Cancellation is not a failure: ask isCancellation first. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) return failureOf(error.cause)
  if (error instanceof TimeoutFailure) return timeout(error)
  if (error instanceof WorkerGone) {
    const { message, pod, lost, isForGood } = error
    return {
      kind: 'lost',
      message,
      evidence: [],
      worker: { host: pod },
      ...(lost && { lost }),
      ...(isForGood && { avoidWorker: pod }),
    }
  }
  if (error instanceof ApplicationFailure) {
    const [details] = (error.details ?? []) as (FailureDetails | undefined)[]
    const type = error.type ?? ''
    const kind = isFailureKind(type) ? type : kindOfErrorName(type)
    return { kind, message: error.message, evidence: [], ...details }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { kind: 'internal', message, evidence: [] }
}

function timeout({ timeoutType, lastHeartbeatDetails }: TimeoutFailure): Failure {
  if (timeoutType !== 'HEARTBEAT') {
    const message = `The stage took longer than it may (${timeoutType}).`
    return { kind: 'internal', message, evidence: [`Temporal timeout ${timeoutType}`] }
  }
  const { unsaved: lost, worker } = (lastHeartbeatDetails as StageProgress | undefined) ?? {}
  return {
    kind: 'lost',
    message: 'The worker gave no sign of life; it was killed or its machine was lost.',
    evidence: ['no heartbeat of the worker'],
    ...(lost && { lost }),
    ...(worker && { worker }),
  }
}

/** No failure of the work: a worker on a node that the job avoids has left it to others. */
export function isDeclined(error: unknown): boolean {
  return error instanceof ActivityFailure && error.cause instanceof ApplicationFailure
    ? error.cause.type === DECLINED
    : false
}

/** The failure as the end of a workflow: never retried by the server, since the workflow has spent the budget itself. */
export function finalFailure({ kind, message, ...details }: Failure): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, kind, details)
}
