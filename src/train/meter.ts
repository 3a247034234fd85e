import type { Progress } from './child-protocol.ts'
import type { Clock } from './clock.ts'
import { lossDifference } from './recheck.ts'
import type { StepPlan } from './step-plan.ts'
import type { StepResult } from './train-step.ts'
import type { TrainingRecord } from './training-state.ts'

interface MeteredJob {
  clock: Clock
  report: (progress: Progress) => void
}

/** Time and speed. The time of attempts that were lost is not counted: `record` knows only steps that count. */
export class Meter {
  readonly #job: MeteredJob
  readonly #record: TrainingRecord
  readonly #plan: StepPlan
  #start: { at: number; step: number; tokens: number; seconds: number }
  #last: Pick<
    Progress,
    'loss' | 'learningRate' | 'gradientNorm' | 'tokensPerSecond' | 'secondsLeft' | 'evalLoss' | 'bestStep'
  > = {}

  constructor(job: MeteredJob, record: TrainingRecord, plan: StepPlan) {
    this.#job = job
    this.#record = record
    this.#plan = plan
    this.#start = this.#from(record.seconds)
  }

  /** The record has gone back; the time has not. */
  restart(): void {
    this.#start = this.#from(this.seconds())
  }

  #from(seconds: number) {
    const { step, trainedTokens: tokens } = this.#record
    return { at: this.#job.clock.now(), step, tokens, seconds }
  }

  seconds(): number {
    return this.#start.seconds + this.#elapsed()
  }

  stepDone({ loss, gradientNorm }: StepResult, learningRate: number): void {
    const { step, trainedTokens } = this.#record
    const elapsed = this.#elapsed()
    const perStep = elapsed / (step - this.#start.step)
    this.#last = {
      ...this.#last,
      loss,
      learningRate,
      ...(gradientNorm !== undefined && { gradientNorm }),
      secondsLeft: perStep * (this.#plan.steps - step),
      ...(elapsed > 0 && { tokensPerSecond: (trainedTokens - this.#start.tokens) / elapsed }),
    }
    this.report('train', 0, 0)
  }

  /** Runs what is no training: its time does not count. */
  async aside<T>(work: () => Promise<T>): Promise<T> {
    const began = this.#job.clock.now()
    try {
      return await work()
    } finally {
      this.#start.at += this.#job.clock.now() - began
    }
  }

  evaluated(loss: number, bestStep: number | undefined): void {
    this.#last = { ...this.#last, evalLoss: loss, ...(bestStep !== undefined && { bestStep }) }
  }

  report(phase: 'train' | 'checkpoint' | 'evaluate', microBatch: number, layer: number): void {
    const { step, trainedTokens } = this.#record
    this.#job.report({
      phase,
      step,
      steps: this.#plan.steps,
      microBatch,
      layer,
      trainedTokens,
      ...(!this.#record.exact && { inexact: lossDifference(this.#record.inexact) }),
      ...this.#last,
    })
  }

  #elapsed(): number {
    return (this.#job.clock.now() - this.#start.at) / 1000
  }
}
