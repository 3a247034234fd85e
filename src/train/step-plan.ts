import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { NamedRows } from './batches.ts'
import { groupByLength } from './length-groups.ts'
import { permutation } from './random.ts'

/** Which rows each optimizer step sees. Everything follows from the step's number: there is no position to save. */
export interface StepPlan {
  /** Optimizer steps in all. */
  steps: number
  stepsPerEpoch: number
  warmupSteps: number
  /** Epochs passed before this step, a fraction within an epoch (as transformers logs it). */
  epochAt(step: number): number
  /** The step's micro-batches, each a list of row numbers. */
  microBatches(step: number): number[][]
}

type PlanSettings = Pick<
  FineTuneSpec['train'],
  | 'seed'
  | 'numTrainEpochs'
  | 'maxSteps'
  | 'perDeviceTrainBatchSize'
  | 'gradientAccumulationSteps'
  | 'warmupRatio'
  | 'warmupSteps'
>

export type PlanOptions = PlanSettings & {
  /** Each row's tokens. */
  lengths?: ArrayLike<number>
  /** Rows of like length share a step. */
  groupByLength?: boolean | undefined
}

/**
 * The arithmetic of transformers' Trainer: an epoch is cut into micro-batches (the last may be smaller) and these into
 * steps (the last may have fewer); a step never reaches into the next epoch; maxSteps overrides the epochs; warmupSteps
 * overrides the ratio, which is rounded up. Each epoch has its own order, drawn from (seed, epoch).
 * A step's rows depend only on the product of micro-batch and accumulation, so that halving one and doubling the other
 * in the middle of a job loses and repeats no row. Where the rows' lengths are known, a step's rows are dealt to its micro-batches from
 * the longest down: rows of like length need little padding, and the step's gradient is a sum over all of them anyway.
 */
export function planSteps(rows: number, settings: PlanOptions): StepPlan {
  const { seed, perDeviceTrainBatchSize: microRows, gradientAccumulationSteps, lengths } = settings
  const rowsPerStep = microRows * gradientAccumulationSteps
  const stepsPerEpoch = Math.ceil(rows / rowsPerStep)
  const steps = settings.maxSteps ?? Math.ceil(settings.numTrainEpochs * stepsPerEpoch)
  const warmupSteps = settings.warmupSteps ?? Math.ceil(settings.warmupRatio * steps)

  let current: { epoch: number; order: Uint32Array } | undefined
  const orderOf = (epoch: number): Uint32Array => {
    if (current?.epoch === epoch) return current.order
    const random = permutation(rows, seed, epoch)
    const order = settings.groupByLength && lengths ? groupByLength(random, lengths, rowsPerStep) : random
    current = { epoch, order }
    return order
  }
  return {
    steps,
    stepsPerEpoch,
    warmupSteps,
    epochAt: (step) => step / stepsPerEpoch,
    microBatches(step) {
      const first = (step % stepsPerEpoch) * rowsPerStep
      const order = orderOf(Math.floor(step / stepsPerEpoch))
      const stepRows = Array.from(order.subarray(first, first + rowsPerStep))
      if (lengths) stepRows.sort((a, b) => (lengths[b] as number) - (lengths[a] as number))
      const batches: number[][] = []
      for (let at = 0; at < stepRows.length; at += microRows) batches.push(stepRows.slice(at, at + microRows))
      return batches
    },
  }
}

/** Tokens that a training will pass, about: its steps' rows at the mean length. */
export function plannedTokens(rows: NamedRows, settings: PlanSettings): number {
  let tokens = 0
  for (let row = 0; row < rows.count; row++) tokens += rows.ids(row).length
  const { steps, stepsPerEpoch } = planSteps(rows.count, settings)
  return Math.round((tokens * steps) / stepsPerEpoch)
}
