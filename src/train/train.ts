import { InputError, NonFiniteError, StoppedError } from '../errors.ts'
import { AdamW, type AdamWState } from './adamw.ts'
import { firstRowWithoutTarget, type NamedRows, packedBatchOf } from './batches.ts'
import { Checkpointer } from './checkpointer.ts'
import type { LogLine, Progress } from './child-protocol.ts'
import type { Clock } from './clock.ts'
import type { Engine } from './engine.ts'
import type { PrecisionChoice } from './precision-choice.ts'
import type { Environment } from './environment.ts'
import { type EvaluateNow, Evaluations } from './evaluations.ts'
import { nextLossScale } from './loss-scale.ts'
import { Meter } from './meter.ts'
import { isMetricSchedule } from './metric-schedule.ts'
import { packRows } from './pack-rows.ts'
import { recheck, type Recheck } from './recheck.ts'
import { Rescue, type GoodState } from './rescue.ts'
import { optimizerBits } from './optimizer-names.ts'
import { learningRateAt } from './schedule.ts'
import { startingRecord } from './starting-record.ts'
import { planSteps, type StepPlan } from './step-plan.ts'
import type { TrainSettings } from './train-settings.ts'
import { type StepResult, trainStep } from './train-step.ts'
import { copyState, isFiniteState, type TrainingRecord, type TrainingState } from './training-state.ts'

export interface TrainJob {
  /** Its adapter is the start; its tensors are trained in place. */
  engine: Engine
  rows: NamedRows
  settings: TrainSettings
  environment: Environment
  /** A saved state of this same job: training goes on behind it. */
  resumeFrom: TrainingState | undefined
  /** What `precision: auto` became; the record keeps it for every resume. */
  precision?: PrecisionChoice | undefined
  clock: Clock
  /** Aborted: the state is saved, then StoppedError. */
  signal: AbortSignal
  /** Makes a state safe. It runs beside training; a TransientError is logged and the next checkpoint tried when due. */
  save: (state: TrainingState) => Promise<void>
  report: (progress: Progress) => void
  log: (line: LogLine) => void
  /** Needed where settings.evalStrategy asks for evaluations. */
  evaluate?: EvaluateNow
  /** Told once where a resumed training has something to compare with. */
  rechecked?: (recheck: Recheck) => void
}

/**
 * Trains to the last step, or to an early end, and returns the record of it; engine.trained then is the result. A job that was stopped, killed
 * and resumed any number of times ends with the same bits as one that ran through, in the same environment.
 * Errors: InputError (nothing to learn from), NonFiniteError (nothing of that step was kept), StoppedError (state saved),
 * FencedError and others from `save`.
 */
export async function train(job: TrainJob): Promise<TrainingRecord> {
  const { engine, rows, settings, clock, signal, log } = job
  refuseRowsWithoutTarget(rows)
  const packs = packsOf(rows, settings)
  const lengths = packs.map((pack) => pack.reduce((sum, row) => sum + rows.ids(row).length, 0))
  const plan = planSteps(packs.length, { ...settings, lengths })
  const { lrSchedulerType: name, learningRate: highest, lrSchedulerKwargs: options } = settings
  const schedule = { name, learningRate: highest, warmupSteps: plan.warmupSteps, totalSteps: plan.steps }
  const record = startingRecord(job, schedule)
  const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon: epsilon, weightDecay } = settings
  const { loraplusLrRatio, optim } = settings
  const bits = optimizerBits(optim)
  const makeOptimizer = (moments: AdamWState | undefined) =>
    new AdamW(engine.trained, { beta1, beta2, epsilon, weightDecay, loraplusLrRatio, bits }, moments)
  let optimizer = makeOptimizer(job.resumeFrom?.moments)
  const checkpointer = new Checkpointer({
    ...settings.checkpoint,
    startStep: record.step,
    clock,
    onFailure: (step, error) =>
      log({
        level: 'warn',
        message: `checkpoint not saved, training goes on: ${error.message}`,
        fields: { step },
      }),
  })
  const refuseNonFinite = () => {
    if (isFiniteState(engine.trained, optimizer.state)) return
    throw new NonFiniteError(
      `The adapter after step ${record.step} is not finite; lower spec.train.learningRate`,
    )
  }
  /** The loss of the first row of a step, as the adapter is. */
  const probe = async (step: number) => {
    const [[pack] = []] = plan.microBatches(step)
    const batch = packedBatchOf(rows, [packs[pack as number] as readonly number[]])
    const { lossSum, tokens } = await engine.evaluate(batch)
    return lossSum / tokens
  }
  const snapshot = async () => {
    refuseNonFinite()
    const state = copyState(record, engine.trained, optimizer.state, evaluations.best)
    const loss = record.step < plan.steps ? await probe(record.step) : Number.NaN
    if (Number.isFinite(loss)) state.record.probe = loss
    return state
  }
  const save = async () => {
    const state = await snapshot()
    checkpointer.begin(record.step, () => job.save(state))
  }
  const meter = new Meter(job, record, plan)
  const { trained } = engine
  const { evaluate, resumeFrom } = job
  const best = resumeFrom?.best
  const evaluations = new Evaluations({ trained, record, plan, settings, meter, evaluate, best })
  const rescue = new Rescue({ engine, record, settings: settings.divergence, log })
  /** Training went back: the state that it goes on from is made safe, before a kill finds a later one. */
  const goOnWith = async (state: GoodState) => {
    optimizer = makeOptimizer(state.moments)
    evaluations.goBack(state.best)
    meter.restart()
    await checkpointer.settle()
    await save()
  }
  const rate = (): number => {
    if (record.metricSchedule !== undefined) return record.metricSchedule.learningRate
    if (isMetricSchedule(name)) throw new Error(`${name} has no state`)
    return learningRateAt(record.step, { ...schedule, name, options })
  }
  const recorded = resumeFrom?.record.probe
  if (recorded !== undefined) {
    const found = recheck(job, record, recorded, await probe(record.step))
    if (!record.exact) record.inexact ??= found
    job.rechecked?.(found)
  }

  for (;;) {
    const evaluated = evaluations.isDue() ? await evaluations.run().catch(nonFinite) : false
    if (evaluated instanceof NonFiniteError) {
      await goOnWith(rescue.afterNonFinite(evaluated, record.step - 1))
      continue
    }
    const isDone = evaluated !== undefined && (record.step >= plan.steps || evaluations.hasStopped)
    const isWanted = evaluated === true && settings.loadBestModelAtEnd
    if (!rescue.isSuspicious && checkpointer.due(record.step, isWanted)) await save()
    if (isDone) break
    if (signal.aborted) {
      meter.report('checkpoint', 0, 0)
      await checkpointer.settle()
      if (!rescue.isSuspicious && checkpointer.savedStep < record.step) await job.save(await snapshot())
      throw new StoppedError(`Stopped after step ${record.step} of ${plan.steps}; its state is saved`)
    }
    if (rescue.isLeftOut(record.step)) {
      record.step++
      continue
    }
    rescue.keep(optimizer.state, evaluations.best)
    const learningRate = rate() * rescue.rateFactor
    const report = (microBatch: number, layer: number) => meter.report('train', microBatch, layer)
    const lossScale = record.lossScale?.scale
    const parts = { engine, optimizer, plan, rows, packs, settings, lossScale, signal, report }
    const outcome = await trainStep(record.step, learningRate, parts).catch(nonFinite)
    checkpointer.throwIfFailed()
    if (outcome instanceof NonFiniteError) {
      await goOnWith(rescue.afterNonFinite(outcome, record.step))
    } else if (outcome) {
      if (outcome.gradientNorm === undefined)
        log({
          level: 'info',
          message: 'a step left out: its gradient was not finite at this loss scale, which is halved',
          fields: { step: record.step + 1, lossScale: lossScale ?? 1 },
        })
      advance(record, outcome, learningRate, plan, meter.seconds(), settings.loggingSteps)
      meter.stepDone(outcome, learningRate)
      const good = rescue.afterStep(outcome.loss)
      if (good) await goOnWith(good)
    }
  }
  meter.report('checkpoint', 0, 0)
  await checkpointer.settle()
  refuseNonFinite()
  evaluations.loadBest()
  return record
}

/** A step that was not finite is an outcome; any other error is none. */
function nonFinite(error: unknown): NonFiniteError {
  if (error instanceof NonFiniteError) return error
  throw error
}

function refuseRowsWithoutTarget(rows: NamedRows): void {
  if (rows.count === 0) throw new InputError('There is no row to train on; give more rows in spec.data.train')
  const row = firstRowWithoutTarget(rows)
  if (row !== undefined)
    throw new InputError(
      `Row ${rows.id(row)} has no token to learn from; give it an answer or raise spec.data.maxLength`,
    )
}

/** The rows of each row of a micro-batch. */
function packsOf(rows: NamedRows, { packedLength }: TrainSettings): number[][] {
  const numbers = Array.from({ length: rows.count }, (_, row) => row)
  if (packedLength === undefined) return numbers.map((row) => [row])
  return packRows(
    numbers.map((row) => rows.ids(row).length),
    packedLength,
  )
}

function advance(
  record: TrainingRecord,
  { loss, gradientNorm, tokens, targets }: StepResult,
  learningRate: number,
  plan: StepPlan,
  seconds: number,
  loggingSteps: number,
): void {
  record.step++
  record.trainedTokens += tokens
  record.supervisedTokens += targets
  record.seconds = seconds
  record.firstLoss ??= loss
  record.lastLoss = loss
  record.unflushed.push(loss)
  const { lossScale } = record
  if (lossScale) record.lossScale = nextLossScale(lossScale, gradientNorm !== undefined)
  if (record.step % loggingSteps !== 0 && record.step < plan.steps) return
  record.metrics.push({
    step: record.step,
    epoch: plan.epochAt(record.step),
    loss: record.unflushed.reduce((sum, value) => sum + value, 0) / record.unflushed.length,
    learningRate,
    ...(gradientNorm !== undefined && { gradientNorm }),
    ...(lossScale && { lossScale: lossScale.scale }),
    trainedTokens: record.trainedTokens,
    seconds,
  })
  record.unflushed = []
}
