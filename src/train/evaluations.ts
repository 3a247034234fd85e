import { NonFiniteError, StoppedError } from '../errors.ts'
import type { EvaluationMetrics } from '../eval/evaluate-model.ts'
import type { Trained } from '../model/trained.ts'
import { judgeEvaluation, metricMode, metricOf, NO_EVALUATIONS } from './evaluation-record.ts'
import type { Meter } from './meter.ts'
import { afterEvaluation, isMetricSchedule, startOfMetricSchedule } from './metric-schedule.ts'
import type { StepPlan } from './step-plan.ts'
import type { TrainSettings } from './train-settings.ts'
import type { TrainingRecord } from './training-state.ts'

/** The held-out rows with the adapter as it is; `report` is called after each batch. StoppedError where it was stopped. */
export type EvaluateNow = (report: () => void) => Promise<EvaluationMetrics>

interface EvaluationsParts {
  trained: Trained
  record: TrainingRecord
  plan: StepPlan
  settings: TrainSettings
  meter: Meter
  evaluate: EvaluateNow | undefined
  /** The adapter at the best evaluation of a training that goes on. */
  best: TrainedTensors | undefined
}

/** Parameters by the adapter's names. */
export type TrainedTensors = ReadonlyMap<string, Float32Array>

/** Evaluation during training, and what follows from it: the best adapter, the rate of some schedules, an early end. */
export class Evaluations {
  readonly #parts: EvaluationsParts
  #best: TrainedTensors | undefined

  constructor(parts: EvaluationsParts) {
    this.#parts = parts
    this.#best = parts.best
    const { lrSchedulerType, learningRate } = parts.settings
    if (isMetricSchedule(lrSchedulerType))
      parts.record.metricSchedule ??= startOfMetricSchedule({ learningRate })
  }

  /** Never changed: a better one takes its place. Undefined unless loadBestModelAtEnd asks for it. */
  get best(): TrainedTensors | undefined {
    return this.#best
  }

  /** Training went back, to a state with this best. */
  goBack(best: TrainedTensors | undefined): void {
    this.#best = best
  }

  get hasStopped(): boolean {
    return this.#parts.record.evaluation?.stopped ?? false
  }

  /** Every evalSteps steps or at the end of every epoch, and after the last step; once after each. */
  isDue(): boolean {
    const { record, plan, settings } = this.#parts
    const { step } = record
    if (settings.evalStrategy === 'no' || step === 0) return false
    if (record.evaluation?.lines.at(-1)?.step === step) return false
    return step === plan.steps || step % this.#every(settings.evalStrategy) === 0
  }

  /** As transformers has it: a share of the steps where it is below 1. */
  #every(strategy: 'steps' | 'epoch'): number {
    const { plan, settings } = this.#parts
    if (strategy === 'epoch') return plan.stepsPerEpoch
    const { evalSteps = settings.loggingSteps } = settings
    return evalSteps < 1 ? Math.ceil(plan.steps * evalSteps) : evalSteps
  }

  /** True where this is the best so far; undefined where it was stopped and nothing has changed. NonFiniteError. */
  async run(): Promise<boolean | undefined> {
    const { record, plan, settings, meter, evaluate, trained } = this.#parts
    if (!evaluate) throw new Error('there is nothing to evaluate on')
    let batches = 0
    meter.report('evaluate', 0, 0)
    let metrics: EvaluationMetrics
    try {
      metrics = await meter.aside(() => evaluate(() => meter.report('evaluate', ++batches, 0)))
    } catch (error) {
      if (error instanceof StoppedError) return undefined
      throw error
    }
    const { loss, tokenAccuracy } = metrics
    if (!Number.isFinite(loss))
      throw new NonFiniteError(
        `The evaluation loss after step ${record.step} is not finite; lower spec.train.learningRate or look at the held-out rows`,
      )
    const line = {
      step: record.step,
      epoch: plan.epochAt(record.step),
      evalLoss: loss,
      evalMeanTokenAccuracy: tokenAccuracy,
      seconds: meter.seconds(),
    }
    record.evaluation ??= structuredClone(NO_EVALUATIONS)
    const isBest = judgeEvaluation(record.evaluation, line, settings)
    if (isBest && settings.loadBestModelAtEnd)
      this.#best = new Map(Array.from(trained.tensors, ([name, { data }]) => [name, data.slice()]))
    this.#adjustRate(metricOf(settings.metricForBestModel, line))
    meter.evaluated(loss, record.evaluation.bestStep)
    return isBest
  }

  #adjustRate(metric: number): void {
    const { record, settings } = this.#parts
    const { lrSchedulerType: name, learningRate, lrSchedulerKwargs: options, metricForBestModel } = settings
    if (record.metricSchedule === undefined || !isMetricSchedule(name)) return
    const mode = metricMode(metricForBestModel)
    record.metricSchedule = afterEvaluation(record.metricSchedule, metric, {
      name,
      learningRate,
      mode,
      options,
    })
  }

  /** At the end: the adapter of the best evaluation takes the place of the last, where that was asked for. */
  loadBest(): void {
    const { trained } = this.#parts
    for (const [name, data] of this.#best ?? []) trained.tensors.get(name)?.data.set(data)
  }
}
