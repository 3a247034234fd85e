import {
  defineQuery,
  isCancellation,
  setHandler,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow'
import type { StageOutcome } from '../src/stages/stage-outcome.ts'
import { countFailure, type FailureCounts } from '../src/failures/failure-details.ts'
import { failureOf, finalFailure } from './failure.ts'
import { JobControl } from './job-control.ts'
import {
  type FineTuneJob,
  type JobStatus,
  STAGES,
  STAGE_ATTRIBUTE,
  STATUS_MEMO,
  type StageName,
  type StageStatus,
} from './job.ts'
import { trainingAttempts } from './train.ts'
import type { Attempts } from './with-retries.ts'

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
  readonly #control: JobControl
  #current: StageName = 'model'

  constructor(job: FineTuneJob) {
    this.#job = job
    setHandler(statusQuery, () => this.#status)
    this.#control = new JobControl((isPaused) => {
      this.#status.paused = isPaused
      this.#publish(this.#current)
    })
    setHandler(trainingAttempts, ({ attempts, failure, failures, relief, avoidNodes }) => {
      const status = this.#stageStatus('train')
      Object.assign(status, { attempts, state: 'retrying', failures, ...(failure && { failure }) })
      if (relief) status.relief = relief
      if (avoidNodes) status.avoidNodes = avoidNodes
      this.#publish('train')
    })
  }

  /** What failures of a stage have cost so far. */
  failuresOf(name: StageName): FailureCounts {
    return this.#stageStatus(name).failures ?? {}
  }

  /** Runs a stage and writes down how it went. */
  async stage<T extends StageOutcome>(name: StageName, run: (record: Attempts) => Promise<T>): Promise<T> {
    const status = this.#stageStatus(name)
    this.#current = name
    const record: Attempts = {
      attempt: (attempt) => {
        status.attempts = attempt
        status.state = attempt === 1 ? 'running' : 'retrying'
        this.#publish(name)
      },
      failed: (failure, seconds) => {
        status.failure = failure
        status.failures ??= {}
        countFailure(status.failures, failure.kind, failure.lost ?? { steps: 0, seconds })
        this.#publish(name)
      },
    }
    status.startedAt = Date.now()
    try {
      const outcome = await this.#control.run(
        () => run(record),
        () => {
          status.state = 'paused'
          this.#publish(name)
        },
      )
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
