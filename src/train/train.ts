import { InputError, NonFiniteError, StoppedError } from '../errors.ts'
import { AdamW } from './adamw.ts'
import { firstRowWithoutTarget, type NamedRows } from './batches.ts'
import { Checkpointer } from './checkpointer.ts'
import type { LogLine, Progress } from './child-protocol.ts'
import type { Clock } from './clock.ts'
import type { Engine } from './engine.ts'
import { differences, type Environment } from './environment.ts'
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
  const optimizer = new AdamW(engine.adapter, { beta1, beta2, epsilon, weightDecay }, job.resumeFrom?.moments)
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
  const snapshot = () => {
    refuseNonFinite()
    return copyState(record, engine.adapter, optimizer.state)
  }
  const meter = new Meter(job, record, plan)

  while (record.step < plan.steps) {
    const learningRate = learningRateAt(record.step, schedule)
    const report = (microBatch: number, layer: number) => meter.report('train', microBatch, layer)
    const result = await trainStep(record.step, learningRate, {
      engine,
      optimizer,
      plan,
      rows,
      packs,
      settings,
      signal,
      report,
    })
    checkpointer.throwIfFailed()
    if (result) {
      advance(record, result, learningRate, plan, meter.seconds(), settings.loggingSteps)
      meter.stepDone(result, learningRate)
      if (checkpointer.due(record.step)) {
        const state = snapshot()
        checkpointer.begin(record.step, () => job.save(state))
      }
    }
    if (signal.aborted && record.step < plan.steps) {
      meter.report('checkpoint', 0, 0)
      await checkpointer.settle()
      if (checkpointer.savedStep < record.step) await job.save(snapshot())
      throw new StoppedError(`Stopped after step ${record.step} of ${plan.steps}; its state is saved`)
    }
  }
  meter.report('checkpoint', 0, 0)
  await checkpointer.settle()
  refuseNonFinite()
  return record
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
function packsOf(rows: NamedRows, { packing }: TrainSettings): number[][] {
  const numbers = Array.from({ length: rows.count }, (_, row) => row)
  if (!packing) return numbers.map((row) => [row])
  return packRows(
    numbers.map((row) => rows.ids(row).length),
    packing.length,
  )
}

/** The record to go on from; puts a resumed state's adapter into the engine. */
function startingRecord(
  { engine, rows, environment, resumeFrom, log }: TrainJob,
  schedule: Schedule,
): TrainingRecord {
  if (!resumeFrom)
    return {
      version: 1,
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
    }
  const record = structuredClone(resumeFrom.record)
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
  readonly #start: { at: number; step: number; tokens: number; seconds: number }
  #last: Pick<Progress, 'loss' | 'learningRate' | 'gradientNorm' | 'tokensPerSecond' | 'secondsLeft'> = {}

  constructor(job: TrainJob, record: TrainingRecord, plan: StepPlan) {
    this.#job = job
    this.#record = record
    this.#plan = plan
    this.#start = {
      at: job.clock.now(),
      step: record.step,
      tokens: record.trainedTokens,
      seconds: record.seconds,
    }
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
