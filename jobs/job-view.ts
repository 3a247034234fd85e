import { type Client, WorkflowNotFoundError, defaultPayloadConverter } from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import type { StageProgress } from '../src/stages/stage-progress.ts'
import {
  ATTEMPTS_MEMO,
  type Approval,
  type JobPriority,
  type JobStatus,
  SPEC_MEMO,
  STATUS_MEMO,
  type StageStatus,
  type TrainingAttempts,
  trainingWorkflowId,
} from '../workflows/job.ts'
import { jobIdOf, jobNameOf } from './job-id.ts'

/** rejected: a person has refused the publication. */
export type JobState = 'running' | 'completed' | 'failed' | 'rejected' | 'cancelled' | 'terminated'

/** A job as people look at it: put together from what the server knows, so no worker needs to be up. */
export interface JobView {
  name: string
  jobId: string
  runId: string
  state: JobState
  startedAt: Date
  closedAt?: Date
  specDigest?: string
  stages: StageStatus[]
  /** It waits for `temper resume`, or is about to. */
  isPaused: boolean
  priority?: JobPriority
  /** Of the stage that runs now, from its last heartbeat. */
  progress?: StageProgress
  /** Whether a worker has taken up the stage that is due. */
  isWorkedOn: boolean
  /** Which worker that is: `pid@host`. */
  workerIdentity?: string
  /** Since when. */
  workerSince?: Date
  /** Somebody has cancelled it, and it saves its state. */
  isStopping?: true
}

const STATES: Record<string, JobState> = {
  RUNNING: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'terminated',
  TIMED_OUT: 'failed',
  CONTINUED_AS_NEW: 'running',
  UNKNOWN: 'running',
  UNSPECIFIED: 'running',
  PAUSED: 'running',
}

/** Paused, with its state saved: nothing runs any more. */
export function isResting(view: JobView): boolean {
  return view.isPaused && view.stages.some(({ state }) => state === 'paused')
}

/** Waits for a person's word: nothing runs until it is given. */
export function isAsking(view: JobView): boolean {
  return view.state === 'running' && view.stages.some(({ state }) => state === 'asking')
}

/** What the job has asked a person, answered or not; undefined where it has asked nothing yet. */
export function approvalOf(view: JobView): Approval | undefined {
  return view.stages.find(({ approval }) => approval !== undefined)?.approval
}

/** InputError where there is no such job. */
export async function viewJob(client: Client, nameOrId: string): Promise<JobView> {
  const name = jobNameOf(nameOrId)
  const view = await findJob(client, name)
  if (view === undefined)
    throw new InputError(`There is no job ${name}: temper list shows those that are there.`)
  return view
}

export async function findJob(client: Client, name: string): Promise<JobView | undefined> {
  const jobId = jobIdOf(name)
  let description
  try {
    description = await client.workflow.getHandle(jobId).describe()
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined
    throw error
  }
  const memo = description.memo ?? {}
  const status = memo[STATUS_MEMO] as JobStatus | undefined
  const view: JobView = {
    name,
    jobId,
    runId: description.runId,
    state: STATES[description.status.name] ?? 'running',
    startedAt: description.startTime,
    stages: status?.stages ?? [],
    isPaused: status?.paused ?? false,
    ...(status?.priority && { priority: status.priority }),
    isWorkedOn: false,
    ...(description.raw.workflowExtendedInfo?.cancelRequested && { isStopping: true }),
    ...(description.closeTime && { closedAt: description.closeTime }),
    ...(typeof memo[SPEC_MEMO] === 'string' && { specDigest: memo[SPEC_MEMO] }),
  }
  // To Temporal it has failed, as a job that could not be published.
  if (view.state === 'failed' && view.stages.some(({ state }) => state === 'rejected'))
    view.state = 'rejected'
  if (view.state !== 'running') return view
  const training = view.stages.find(
    ({ name, state }) => name === 'train' && (state === 'running' || state === 'retrying'),
  )
  const pending =
    training === undefined ? pendingOf(description.raw) : await lookAtTraining(client, jobId, training)
  return { ...view, ...pending }
}

type Pending = Pick<JobView, 'progress' | 'isWorkedOn' | 'workerIdentity' | 'workerSince'>
type RawDescription = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>['raw']

/** Training is a workflow of its own: its attempts and its heartbeats stand there. */
async function lookAtTraining(client: Client, jobId: string, stage: StageStatus): Promise<Pending> {
  try {
    const child = await client.workflow.getHandle(trainingWorkflowId(jobId)).describe()
    const attempts = child.memo?.[ATTEMPTS_MEMO] as TrainingAttempts | undefined
    if (attempts !== undefined) {
      stage.attempts = attempts.attempts
      if (attempts.recoveries) stage.recoveries = attempts.recoveries
      if (attempts.failure) stage.failure = attempts.failure
      if (attempts.relief) stage.relief = attempts.relief
      if (attempts.avoidNodes) stage.avoidNodes = attempts.avoidNodes
      stage.failures = attempts.failures
      if (attempts.attempts > 1) stage.state = 'retrying'
    }
    return pendingOf(child.raw)
  } catch (error) {
    // Between the parent's decision to start it and its start.
    if (error instanceof WorkflowNotFoundError) return { isWorkedOn: false }
    throw error
  }
}

type PendingActivity = NonNullable<RawDescription['pendingActivities']>[number]

function pendingOf(raw: RawDescription): Pending {
  // An attempt that was given up for lost is pending until its heartbeat is missed: the newest one counts.
  const activity = (raw.pendingActivities ?? []).reduce<PendingActivity | undefined>(
    (newest, one) =>
      newest === undefined || Number(one.activityId) > Number(newest.activityId) ? one : newest,
    undefined,
  )
  if (activity === undefined) return { isWorkedOn: false }
  const [payload] = activity.heartbeatDetails?.payloads ?? []
  const progress = payload ? defaultPayloadConverter.fromPayload<StageProgress | null>(payload) : null
  const since = activity.lastStartedTime
  const isWorkedOn = (since ?? undefined) !== undefined
  return {
    isWorkedOn,
    ...(isWorkedOn && activity.lastWorkerIdentity && { workerIdentity: activity.lastWorkerIdentity }),
    ...(since && { workerSince: new Date(Number(since.seconds) * 1000 + (since.nanos ?? 0) / 1e6) }),
    ...(progress && { progress }),
  }
}
