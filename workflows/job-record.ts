import {
  defineQuery,
  defineSignal,
  isCancellation,
  setHandler,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow'
import type { Decision } from '../src/stages/decision.ts'
import type { StageOutcome } from '../src/stages/stage-outcome.ts'
import { ApprovalRequest, isRejection } from './approval-request.ts'
import { failureOf, finalFailure } from './failure.ts'
import { JobControl } from './job-control.ts'
import {
  type FineTuneJob,
  type JobPriority,
  type JobStatus,
  STAGES,
  STAGE_APPROVAL,
  STAGE_ATTRIBUTE,
  STATUS_MEMO,
  type StageName,
  type StageStatus,
} from './job.ts'
import { type PodReport, PodReports } from './pod-reports.ts'
import { correctRecord, recordFailure } from './recoveries.ts'
import { prioritySignal } from './signals.ts'
import { trainingAttempts } from './train.ts'
import type { Attempts } from './with-retries.ts'

const statusQuery = defineQuery<JobStatus>('status')
const setPriority = defineSignal<[PriorityChange]>(prioritySignal)

export interface PriorityChange {
  priority: JobPriority
  /** No worker has taken up the training. */
  isWaiting: boolean
}

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
  readonly #reports: PodReports | undefined
  readonly #approval: ApprovalRequest | undefined
  #current: StageName = 'model'

  constructor(job: FineTuneJob) {
    this.#job = job
    setHandler(statusQuery, () => this.#status)
    if (job.priority) this.#status.priority = job.priority
    this.#control = new JobControl((isPaused) => {
      this.#status.paused = isPaused
      this.#publish(this.#current)
    })
    this.#reports = job.reportsPods
      ? new PodReports(
          () => this.#current,
          (report) => this.#correct(report),
        )
      : undefined
    if (job.spec.publish.approval === 'required')
      this.#approval = new ApprovalRequest((approval) => {
        this.#stageStatus('publish').approval = approval
        this.#publish(this.#current)
      })
    setHandler(setPriority, ({ priority, isWaiting }) => {
      this.#status.priority = priority
      this.#publish(this.#current)
      // A training that waits for a machine takes its new place in the queue; one that runs keeps its machine.
      if (isWaiting && this.#current === 'train') this.#control.again()
    })
    setHandler(trainingAttempts, ({ attempts, failure, failures, relief, avoidNodes, recoveries }) => {
      const status = this.#stageStatus('train')
      Object.assign(status, {
        attempts,
        state: 'retrying',
        failures,
        ...(failure && { failure }),
        ...(recoveries && { recoveries }),
      })
      if (relief) status.relief = relief
      if (avoidNodes) status.avoidNodes = avoidNodes
      this.#publish('train')
    })
  }

  /** For what is started from now on. */
  get priority(): JobPriority | undefined {
    return this.#status.priority
  }

  /** A person's approval of what is to be published, where the job wants one. Nothing runs while it waits. */
  async approval(): Promise<Decision | undefined> {
    if (this.#approval === undefined) return undefined
    const status = this.#stageStatus('publish')
    if (status.approval?.decision === undefined) status.state = 'asking'
    return this.#approval.answer()
  }

  /** What failures of a stage have cost so far. */
  failuresOf(name: StageName): Pick<StageStatus, 'failures' | 'recoveries'> {
    const { failures = {}, recoveries = [] } = this.#stageStatus(name)
    return { failures, recoveries }
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
        recordFailure(status, status.attempts, failure, seconds)
        this.#publish(name)
      },
      ...(this.#reports && { reports: this.#reports }),
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
      if (isRejection(error)) {
        status.state = 'rejected'
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

  /** A report about a stage's worker that came late. */
  #correct(report: PodReport): void {
    const stage = this.#status.stages.find(({ name }) => name === report.stage)
    if (stage && correctRecord(stage, stage.name, report)) this.#publish(this.#current)
  }

  #stageStatus(name: StageName): StageStatus {
    const status = this.#status.stages.find((stage) => stage.name === name)
    if (status === undefined) throw new Error(`no stage ${name}`)
    return status
  }

  #publish(current: StageName): void {
    upsertMemo({ [STATUS_MEMO]: this.#status })
    if (!this.#job.searchAttributes) return
    const isAsking = this.#stageStatus(current).state === 'asking'
    upsertSearchAttributes({ [STAGE_ATTRIBUTE]: [isAsking ? STAGE_APPROVAL : current] })
  }
}
