import {
  defineQuery,
  isCancellation,
  setHandler,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow'
import type { StageOutcome } from '../src/stages/stage-outcome.ts'
import { type Failure, failureOf, finalFailure } from './failure.ts'
import {
  type FineTuneJob,
  type JobStatus,
  STAGES,
  STAGE_ATTRIBUTE,
  STATUS_MEMO,
  type StageName,
  type StageStatus,
} from './job.ts'

const statusQuery = defineQuery<JobStatus>('status')

/**
 * The job's record of its stages. It is told to people twice: by the query, and by the workflow's memo, which needs no
 * worker to be read. Steps and losses are not in here: they live in heartbeats, so that a history does not grow with them.
 */
export class JobRecord {
  readonly #status: JobStatus = {
    stages: STAGES.map((name) => ({ name, state: 'waiting', attempts: 0 })),
  }
  readonly #job: FineTuneJob

  constructor(job: FineTuneJob) {
    this.#job = job
    setHandler(statusQuery, () => this.#status)
  }

  /** Runs a stage and writes down how it went. */
  async stage<T extends StageOutcome>(name: StageName, run: (record: StageRecord) => Promise<T>): Promise<T> {
    const status = this.#stageStatus(name)
    const record: StageRecord = {
      attempt: (attempt) => {
        status.attempts = attempt
        status.state = attempt === 1 ? 'running' : 'retrying'
        this.#publish(name)
      },
      failed: (failure) => {
        status.failure = failure
      },
    }
    status.startedAt = Date.now()
    try {
      const outcome = await run(record)
      status.state = outcome.skipped ? 'skipped' : 'done'
      status.summary = { ...outcome.summary }
      if (outcome.ref) status.digest = outcome.ref.digest
      delete status.failure
      return outcome
    } catch (error) {
      if (isCancellation(error)) {
        status.state = 'cancelled'
        throw error
      }
      status.state = 'failed'
      status.failure = failureOf(error)
      throw finalFailure(status.failure)
    } finally {
      status.finishedAt = Date.now()
      this.#publish(name)
    }
  }

  #stageStatus(name: StageName): StageStatus {
    const status = this.#status.stages.find((stage) => stage.name === name)
    if (status === undefined) throw new Error(`no stage ${name}`)
    return status
  }

  #publish(current: StageName): void {
    upsertMemo({ [STATUS_MEMO]: this.#status })
    if (this.#job.searchAttributes) upsertSearchAttributes({ [STAGE_ATTRIBUTE]: [current] })
  }
}

/** What a running stage tells its record. */
export interface StageRecord {
  attempt(attempt: number): void
  failed(failure: Failure): void
}
