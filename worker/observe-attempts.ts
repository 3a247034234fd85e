import { trace } from '@opentelemetry/api'
import type { Context } from '@temporalio/activity'
import type { ActivityInboundCallsInterceptor } from '@temporalio/worker'
import type { Logger } from 'pino'
import type { AttemptInput } from '../activities/stage-activity.ts'
import { type AttemptObserver, attemptObserver } from '../activities/attempt-observer.ts'
import { type FailureKind, isFailureKind } from '../src/failures/failure-kind.ts'
import type { StageProgress } from '../src/stages/stage-progress.ts'
import type { Clock } from '../src/train/clock.ts'
import type { Metrics } from './metrics.ts'

export interface Observation {
  metrics: Metrics
  logger: Logger
  clock: Clock
}

/** Counts and logs every attempt of a stage that runs on this worker, under the trace of the command that started its job. */
export function observeAttempts(
  context: Context,
  { metrics, logger, clock }: Observation,
): ActivityInboundCallsInterceptor {
  return {
    async execute(input, next) {
      const { activityType: stage, currentAttemptScheduledTimestampMs: scheduled } = context.info
      const { jobId: job, attempt, after } = input.args[0] as AttemptInput
      const traceId = trace.getActiveSpan()?.spanContext().traceId
      const lines = logger.child({ trace: traceId, job, stage, attempt })
      const training = new TrainingMeter(metrics, clock, job)
      const observer: AttemptObserver = {
        traceId,
        progress: (progress) => {
          if (stage === 'train') training.observe(progress)
        },
        log: ({ level, message, fields }) => lines[level](fields, message),
      }
      const end = (state: string): void => metrics.stageAttempts.inc({ stage, state })
      metrics.queueWait.observe({ stage }, Math.max(0, Date.now() - scheduled) / 1000)
      metrics.stagesRunning.inc({ stage })
      // Its own worker could not count it.
      if (after?.kind === 'lost' && after.lost)
        metrics.trainingSeconds.inc({ use: 'lost' }, after.lost.seconds)
      lines.info('attempt begins')
      try {
        const result = await attemptObserver.run(observer, () => next(input))
        end('done')
        if (after) metrics.recoveries.inc({ stage, kind: after.kind })
        if (stage === 'train') training.ended(false)
        lines.info('attempt done')
        return result
      } catch (error) {
        const kind = kindOf(error)
        end(kind === 'cancelled' || kind === 'stopped' ? kind : 'failed')
        if (kind !== 'cancelled') metrics.failures.inc({ stage, kind })
        // A stopped training has saved its state: nothing of it is lost.
        if (stage === 'train') training.ended(kind !== 'cancelled' && kind !== 'stopped')
        lines.warn({ kind }, 'attempt ended')
        throw error
      } finally {
        metrics.stagesRunning.dec({ stage })
      }
    },
  }
}

/** What stageActivity throws: an ApplicationFailure whose type is the kind, or a CancelledFailure. */
function kindOf(error: unknown): FailureKind | 'cancelled' {
  const { name, type = '' } = error as { name?: string; type?: string }
  if (name === 'CancelledFailure') return 'cancelled'
  return isFailureKind(type) ? type : 'internal'
}

/** Steps, tokens, speed and the age of what is safe, from the progress of one attempt. */
class TrainingMeter {
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #job: string
  readonly #began: number
  #last: { step: number; tokens: number; at: number } | undefined
  #unsaved = 0
  #checkpoint: number | undefined

  constructor(metrics: Metrics, clock: Clock, job: string) {
    this.#metrics = metrics
    this.#clock = clock
    this.#job = job
    this.#began = clock.now()
  }

  observe({ phase, done, trainedTokens = 0, loss, unsaved, checkpoint }: StageProgress): void {
    const { steps, tokens, stepSeconds, loss: lossGauge, checkpointAge } = this.#metrics
    if (checkpoint && checkpoint.step !== this.#checkpoint) {
      this.#checkpoint = checkpoint.step
      this.#metrics.checkpointBytes.set({ job: this.#job }, checkpoint.bytes)
      this.#metrics.checkpointSeconds.observe(checkpoint.seconds)
    }
    if (unsaved) {
      this.#unsaved = unsaved.seconds
      checkpointAge.set({ job: this.#job }, unsaved.seconds)
    }
    if (phase !== 'train') return
    if (loss !== undefined) lossGauge.set({ job: this.#job }, loss)
    const now = this.#clock.now()
    const last = this.#last
    // The first report names the step that training went on from.
    if (last === undefined || done > last.step) this.#last = { step: done, tokens: trainedTokens, at: now }
    if (last === undefined || done <= last.step) return
    steps.inc(done - last.step)
    tokens.inc(Math.max(0, trainedTokens - last.tokens))
    stepSeconds.observe((now - last.at) / 1000 / (done - last.step))
  }

  /** `isLost`: what came after the newest checkpoint has to be done again. */
  ended(isLost: boolean): void {
    const whole = (this.#clock.now() - this.#began) / 1000
    const lost = isLost ? Math.min(whole, this.#unsaved) : 0
    this.#metrics.trainingSeconds.inc({ use: 'lost' }, lost)
    this.#metrics.trainingSeconds.inc({ use: 'useful' }, whole - lost)
    this.#metrics.loss.remove({ job: this.#job })
    this.#metrics.checkpointAge.remove({ job: this.#job })
    this.#metrics.checkpointBytes.remove({ job: this.#job })
  }
}
