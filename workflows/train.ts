import {
  defineSignal,
  getExternalWorkflowHandle,
  proxyActivities,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import type { FailureCounts } from '../src/failures/failure-details.ts'
import type { FailureKind } from '../src/failures/failure-kind.ts'
import { memoryLadder } from '../src/failures/memory-ladder.ts'
import type { TrainInput, TrainOutcome } from '../src/stages/train.ts'
import { attemptOptions } from './activity-options.ts'
import { isDeclined } from './failure.ts'
import { ATTEMPTS_MEMO, type TrainingAttempts } from './job.ts'
import { PodReports } from './pod-reports.ts'
import { correctRecord, recordFailure, type Recovery } from './recoveries.ts'
import { trainingAttemptsSignal } from './signals.ts'
import { withRetries } from './with-retries.ts'

export interface TrainingJob {
  input: TrainInput
  queue: string
  heartbeatSeconds: number
  /** spec.train.retries */
  retries?: Partial<Record<FailureKind, number>>
  /** What this job's training has lost before: on a smaller machine, before a pause. */
  failures?: FailureCounts
  recoveries?: Recovery[]
  /** Its controller reports what became of the workers' pods. */
  reportsPods?: true
}

/** One to 30 s apart, half an hour in all: a cluster has brought another node by then, or has none. */
const MAX_DECLINED = 64
/** A pod that is gone polls for seconds at most: the newest are what matters. */
const MAX_AVOIDED_WORKERS = 8
const DECLINED_WAIT = { first: 1_000, longest: 30_000 }

/** From a training to its job, whose record outlives it. */
export const trainingAttempts = defineSignal<[TrainingAttempts]>(trainingAttemptsSignal)

/**
 * Training, as a workflow on the queue of its class of machine: what counts the running workflows of that queue knows how
 * many machines are wanted, and a job that is in another stage wants none.
 */
export async function train(job: TrainingJob): Promise<TrainOutcome> {
  const { input } = job
  const activities = proxyActivities<Pick<Activities, 'train'>>(
    attemptOptions(job.queue, job.heartbeatSeconds),
  )
  const avoidNodes: string[] = []
  const avoidWorkers: string[] = []
  const { perDeviceTrainBatchSize: microBatchRows, layout, gradientCheckpointing } = input.base.training
  const [, ...smaller] = memoryLadder({ microBatchRows, layout, gradientCheckpointing })
  const attempts: TrainingAttempts = {
    attempts: 0,
    failures: { ...job.failures },
    recoveries: [...(job.recoveries ?? [])],
  }
  const publish = async (): Promise<void> => {
    upsertMemo({ [ATTEMPTS_MEMO]: attempts })
    await tellJob(attempts)
  }
  const reports = job.reportsPods
    ? new PodReports(
        () => 'train',
        (report) => {
          if (correctRecord(attempts, 'train', report)) void publish()
        },
      )
    : undefined
  return withRetries(
    {
      attempt: (attempt) => {
        attempts.attempts = attempt
        upsertMemo({ [ATTEMPTS_MEMO]: attempts })
      },
      failed: async (failure, seconds) => {
        if (failure.avoidNode !== undefined && !avoidNodes.includes(failure.avoidNode)) {
          avoidNodes.push(failure.avoidNode)
          attempts.avoidNodes = avoidNodes
        }
        if (failure.avoidWorker !== undefined) {
          avoidWorkers.push(failure.avoidWorker)
          if (avoidWorkers.length > MAX_AVOIDED_WORKERS) avoidWorkers.shift()
        }
        recordFailure(attempts, attempts.attempts, failure, seconds)
        await publish()
      },
      ...(reports && { reports }),
    },
    (attempt, after) =>
      elsewhere({ avoidNodes, avoidWorkers }, (avoided) =>
        activities.train({
          ...input,
          attempt,
          ...(after && { after }),
          ...avoided,
          ...(attempts.relief && { relief: attempts.relief }),
        }),
      ),
    {
      ...(job.retries && { retries: job.retries }),
      relieve: () => {
        const next = smaller.shift()
        if (next !== undefined) attempts.relief = next
        return next !== undefined
      },
    },
  )
}

type Avoided = Pick<TrainInput, 'avoidNodes' | 'avoidWorkers'>

/**
 * Runs an attempt where it is not to be avoided: a worker that is, or is on such a node, declines at once, and another may take the
 * task. Where nobody else comes for so long, a bad node is better than none.
 */
async function elsewhere<T>(
  { avoidNodes, avoidWorkers }: Required<Avoided>,
  run: (avoided: Avoided) => Promise<T>,
): Promise<T> {
  for (let declined = 0; ; declined++) {
    const avoided: Avoided =
      declined < MAX_DECLINED
        ? {
            ...(avoidNodes.length > 0 && { avoidNodes: [...avoidNodes] }),
            ...(avoidWorkers.length > 0 && { avoidWorkers: [...avoidWorkers] }),
          }
        : {}
    try {
      return await run(avoided)
    } catch (error) {
      if (!isDeclined(error)) throw error
      await sleep(Math.min(DECLINED_WAIT.longest, DECLINED_WAIT.first * 2 ** declined))
    }
  }
}

/** A job that was terminated meanwhile has no record any more, and this training ends with it. */
async function tellJob(attempts: TrainingAttempts): Promise<void> {
  const { parent } = workflowInfo()
  if (parent === undefined) return
  await getExternalWorkflowHandle(parent.workflowId, parent.runId)
    .signal(trainingAttempts, attempts)
    .catch(() => {})
}
