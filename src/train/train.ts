import { InputError, NonFiniteError, StoppedError } from '../errors.ts'
import { AdamW, type AdamWState } from './adamw.ts'
import { firstRowWithoutTarget, type NamedRows, packedBatchOf } from './batches.ts'
import { Checkpointer } from './checkpointer.ts'
import type { LogLine, Progress } from './child-protocol.ts'
import type { Clock } from './clock.ts'
import type { Engine } from './engine.ts'
import { differences, type Environment } from './environment.ts'
import { Rescue } from './rescue.ts'
import { learningRateAt, type Schedule } from './schedule.ts'
import { packRows } from './pack-rows.ts'
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
  clock: Clock
  /** Aborted: the state is saved, then StoppedError. */
  signal: AbortSignal
  /** Makes a state safe. It runs beside training; a TransientError is logged and the next checkpoint tried when due. */
  save: (state: TrainingState) => Promise<void>
  report: (progress: Progress) => void
  log: (line: LogLine) => void
  /** Told once where a resumed training has something to compare with. */
  rechecked?: (recheck: Recheck) => void
}

/** The loss that a checkpoint recorded for what comes next, and the same computed again on resume. */
export interface Recheck {
  step: number
  recorded: number
  recomputed: number
}

/**
 * Trains to the last step and returns the record of it; engine.adapter then is the result. A job that was stopped, killed
 * and resumed any number of times ends with the same bits as one that ran through, in the same environment.
 * Errors: InputError (nothing to learn from), NonFiniteError (nothing of that step was kept), StoppedError (state saved),
 * FencedError and others from `save`.
 */
export async function train(job: TrainJob): Promise<TrainingRecord> {
  const { engine, rows, settings, clock, signal, log } = job
  refuseRowsWithoutTarget(rows)
  const packs = packsOf(rows, settings)
  const lengths = packs.map((pack) => pack.reduce((sum, row) => sum + rows.ids(row).length, 0))
  const plan = planSteps(packs.length, {
    ...settings,
    groupByLength: settings.groupByLength ? lengths : undefined,
  })
  const schedule: Schedule = {
    name: settings.lrSchedulerType,
    learningRate: settings.learningRate,
    warmupSteps: plan.warmupSteps,
    totalSteps: plan.steps,
    options: settings.lrSchedulerKwargs,
  }
  const record = startingRecord(job, schedule)
  const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon: epsilon, weightDecay } = settings
  const { loraplusLrRatio } = settings
  const options = { beta1, beta2, epsilon, weightDecay, loraplusLrRatio }
  const makeOptimizer = (moments: AdamWState | undefined) => new AdamW(engine.adapter, options, moments)
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
    if (isFiniteState(engine.adapter, optimizer.state)) return
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
    const state = copyState(record, engine.adapter, optimizer.state)
    const loss = record.step < plan.steps ? await probe(record.step) : Number.NaN
    if (Number.isFinite(loss)) state.record.probe = loss
    return state
  }
  const meter = new Meter(job, record, plan)
  const rescue = new Rescue({ engine, record, settings: settings.divergence, log })
  /** Training went back: the state that it goes on from is made safe, before a kill finds a later one. */
  const goOnWith = async (moments: AdamWState) => {
    optimizer = makeOptimizer(moments)
    meter.restart()
    await checkpointer.settle()
    const state = await snapshot()
    checkpointer.begin(record.step, () => job.save(state))
  }
  const recorded = job.resumeFrom?.record.probe
  if (recorded !== undefined) job.rechecked?.(recheck(job, record, recorded, await probe(record.step)))

  while (record.step < plan.steps) {
    if (rescue.isLeftOut(record.step)) {
      record.step++
      continue
    }
    rescue.keep(optimizer.state)
    const learningRate = learningRateAt(record.step, schedule) * rescue.rateFactor
    const report = (microBatch: number, layer: number) => meter.report('train', microBatch, layer)
    const outcome = await trainStep(record.step, learningRate, {
      engine,
      optimizer,
      plan,
      rows,
      packs,
      settings,
      signal,
      report,
    }).catch(nonFinite)
    checkpointer.throwIfFailed()
    if (outcome instanceof NonFiniteError) {
      await goOnWith(rescue.afterNonFinite(outcome))
    } else if (outcome) {
      advance(record, outcome, learningRate, plan, meter.seconds(), settings.loggingSteps)
      meter.stepDone(outcome, learningRate)
      const moments = rescue.afterStep(outcome.loss)
      if (moments) await goOnWith(moments)
      else if (!rescue.isSuspicious && checkpointer.due(record.step)) {
        const state = await snapshot()
        checkpointer.begin(record.step, () => job.save(state))
      }
    }
    if (signal.aborted && record.step < plan.steps) {
      meter.report('checkpoint', 0, 0)
      await checkpointer.settle()
      if (!rescue.isSuspicious && checkpointer.savedStep < record.step) {
        const state = await snapshot()
        await job.save(state)
      }
      throw new StoppedError(`Stopped after step ${record.step} of ${plan.steps}; its state is saved`)
    }
  }
  meter.report('checkpoint', 0, 0)
  await checkpointer.settle()
  refuseNonFinite()
  return record
}

/** A step that was not finite is an outcome; any other error is none. */
function nonFinite(error: unknown): NonFiniteError {
  if (error instanceof NonFiniteError) return error
  throw error
}

/** Compares what a resumed training begins with to what was recorded. What differs in the same environment is damage. */
function recheck(
  { environment, resumeFrom, log }: TrainJob,
  record: TrainingRecord,
  recorded: number,
  recomputed: number,
): Recheck {
  const { step } = record
  const isSameEnvironment = resumeFrom && differences(resumeFrom.record.environment, environment).length === 0
  const fields = { step, recorded, recomputed, difference: Math.abs(recomputed - recorded) / recorded }
  if (recorded === recomputed) {
    log({ level: 'info', message: 'the loss that was recorded is found again', fields })
  } else if (isSameEnvironment) {
    record.exact = false
    log({
      level: 'error',
      message: `possible silent corruption: resumed at step ${step}, the loss is ${recomputed} where ${recorded} was recorded`,
      fields,
    })
  } else {
    log({ level: 'warn', message: 'the loss differs from the one recorded elsewhere', fields })
  }
  return { step, recorded, recomputed }
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

/** The record to go on from; puts a resumed state's adapter into the engine. */
function startingRecord(
  { engine, rows, environment, resumeFrom, log }: TrainJob,
  schedule: Schedule,
): TrainingRecord {
  if (!resumeFrom)
    return {
      version: 2,
      step: 0,
      trainedTokens: 0,
      supervisedTokens: 0,
      seconds: 0,
      unflushed: [],
      metrics: [],
      schedule: {
        name: schedule.name,
        learningRate: schedule.learningRate,
        warmupSteps: schedule.warmupSteps,
        totalSteps: schedule.totalSteps,
      },
      rows: rows.count,
      environment,
      exact: true,
      rescue: { recent: [], streak: 0, skipped: [], rollbacks: [] },
    }
  const { probe: _, ...record } = structuredClone(resumeFrom.record)
  if (record.rows !== rows.count || record.schedule.totalSteps !== schedule.totalSteps)
    throw new InputError(
      `The checkpoint of step ${record.step} belongs to a job of ${record.rows} rows and ${record.schedule.totalSteps} steps, not of ${rows.count} and ${schedule.totalSteps}; start this job under another name`,
    )
  for (const [name, { data }] of resumeFrom.adapter) engine.adapter.tensors.get(name)?.data.set(data)
  const differ = differences(record.environment, environment)
  log({
    level: 'info',
    message: 'resumed',
    fields: { step: record.step, exact: record.exact && differ.length === 0 },
  })
  if (differ.length > 0) {
    record.exact = false
    log({
      level: 'warn',
      message: `resumed in another environment (${differ.join(', ')}): the result will differ in its last bits from an undisturbed run`,
      fields: { was: record.environment, is: environment },
    })
  }
  record.environment = environment
  return record
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
  if (record.step % loggingSteps !== 0 && record.step < plan.steps) return
  record.metrics.push({
    step: record.step,
    epoch: plan.epochAt(record.step),
    loss: record.unflushed.reduce((sum, value) => sum + value, 0) / record.unflushed.length,
    learningRate,
    gradientNorm,
    trainedTokens: record.trainedTokens,
    seconds,
  })
  record.unflushed = []
}

/** Time and speed. The time of attempts that were lost is not counted: `record` knows only steps that count. */
class Meter {
  readonly #job: TrainJob
  readonly #record: TrainingRecord
  readonly #plan: StepPlan
  #start: { at: number; step: number; tokens: number; seconds: number }
  #last: Pick<Progress, 'loss' | 'learningRate' | 'gradientNorm' | 'tokensPerSecond' | 'secondsLeft'> = {}

  constructor(job: TrainJob, record: TrainingRecord, plan: StepPlan) {
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
      loss,
      learningRate,
      gradientNorm,
      secondsLeft: perStep * (this.#plan.steps - step),
      ...(elapsed > 0 && { tokensPerSecond: (trainedTokens - this.#start.tokens) / elapsed }),
    }
    this.report('train', 0, 0)
  }

  report(phase: 'train' | 'checkpoint', microBatch: number, layer: number): void {
    const { step, trainedTokens } = this.#record
    this.#job.report({
      phase,
      step,
      steps: this.#plan.steps,
      microBatch,
      layer,
      trainedTokens,
      ...this.#last,
    })
  }

  #elapsed(): number {
    return (this.#job.clock.now() - this.#start.at) / 1000
  }
}
