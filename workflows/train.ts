import { proxyActivities, upsertMemo } from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import type { TrainInput, TrainOutcome } from '../src/stages/train.ts'
import { attemptOptions } from './activity-options.ts'
import { ATTEMPTS_MEMO, type TrainingAttempts } from './job.ts'
import { withRetries } from './with-retries.ts'

export interface TrainingJob {
  input: TrainInput
  queue: string
  heartbeatSeconds: number
}

/**
 * Training, as a workflow on the queue of its class of machine: what counts the running workflows of that queue knows how
 * many machines are wanted, and a job that is in another stage wants none.
 */
export async function train(job: TrainingJob): Promise<TrainOutcome> {
  const activities = proxyActivities<Pick<Activities, 'train'>>(
    attemptOptions(job.queue, job.heartbeatSeconds),
  )
  const attempts: TrainingAttempts = { attempts: 0 }
  return withRetries(
    {
      attempt: (attempt) => {
        attempts.attempts = attempt
        upsertMemo({ [ATTEMPTS_MEMO]: attempts })
      },
      failed: (failure) => {
        attempts.failure = failure
      },
    },
    (attempt) => activities.train({ ...job.input, attempt }),
  )
}
