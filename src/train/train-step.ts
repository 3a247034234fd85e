import { NonFiniteError } from '../errors.ts'
import type { AdamW } from './adamw.ts'
import type { Batch } from './batch.ts'
import { type NamedRows, packedBatchOf, tokensOf } from './batches.ts'
import type { Engine } from './engine.ts'
import { clipGradients } from './gradient-clipping.ts'
import { LEAST_LOSS_SCALE } from './loss-scale.ts'
import type { StepPlan } from './step-plan.ts'

export interface StepResult {
  /** Mean over the step's targets, in nats. */
  loss: number
  /** Before clipping. Undefined: the gradient was not finite at this loss scale, and the optimizer has not moved. */
  gradientNorm: number | undefined
  /** Padding not counted. */
  tokens: number
  /** Targets: the tokens that the loss counts. */
  targets: number
}

export interface StepContext {
  engine: Engine
  optimizer: AdamW
  plan: StepPlan
  rows: NamedRows
  /** What the plan counts: the rows of each pack, one where there is no packing. */
  packs: readonly (readonly number[])[]
  settings: { maxGradNorm: number; seed: number }
  /** Of precision fp16. */
  lossScale?: number | undefined
  signal: AbortSignal
  report: (microBatch: number, layer: number) => void
}

/** A step of many rows names the first ones; that is enough to find them. */
const ROWS_NAMED = 16
const LAYERS_NAMED = 5

/**
 * One optimizer step: the gradient of the mean loss over all targets of the step's micro-batches, clipped, then AdamW.
 * Micro-batches weigh by their targets, so that accumulation gives what one big batch gives.
 * Undefined where the signal was aborted in between: nothing has changed then. NonFiniteError before anything changes.
 */
export async function trainStep(
  step: number,
  learningRate: number,
  { engine, optimizer, plan, rows, packs, settings, lossScale, signal, report }: StepContext,
): Promise<StepResult | undefined> {
  engine.zeroGradients()
  const stepRows: string[] = []
  let lastBatch: Batch | undefined
  let lossSum = 0
  let targets = 0
  let tokens = 0
  for (const [microBatch, numbers] of plan.microBatches(step).entries()) {
    if (signal.aborted) return undefined
    const batch = packedBatchOf(
      rows,
      numbers.map((pack) => packs[pack] as readonly number[]),
    )
    const counters = { seed: settings.seed, step, microBatch }
    const result = await engine.accumulate(batch, (layer) => report(microBatch, layer), counters, lossScale)
    if (!Number.isFinite(result.lossSum))
      throw notFinite('loss', step, batch.rowIds, await engine.largestActivations(batch))
    stepRows.push(...batch.rowIds)
    lastBatch = batch
    lossSum += result.lossSum
    targets += result.tokens
    tokens += tokensOf(batch)
    report(microBatch + 1, 0)
  }
  const gradientNorm = clipGradients(engine.gradients, settings.maxGradNorm, 1 / targets)
  const result = { loss: lossSum / targets, tokens, targets }
  if (!Number.isFinite(gradientNorm) && lossScale !== undefined && lossScale > LEAST_LOSS_SCALE)
    return { ...result, gradientNorm: undefined }
  if (!Number.isFinite(gradientNorm))
    throw notFinite('gradient', step, stepRows, lastBatch ? await engine.largestActivations(lastBatch) : [])
  optimizer.step(engine.trained, engine.gradients, learningRate)
  return { ...result, gradientNorm }
}

function notFinite(
  what: string,
  step: number,
  rowIds: Batch['rowIds'],
  activations: number[],
): NonFiniteError {
  const more = rowIds.length > ROWS_NAMED ? ` and ${rowIds.length - ROWS_NAMED} more` : ''
  return new NonFiniteError(
    `The ${what} of step ${step + 1} is not finite (rows ${rowIds.slice(0, ROWS_NAMED).join(', ')}${more}; the largest activations: ${largestFirst(activations)}); lower spec.train.learningRate or look at these rows`,
  )
}

/** Layers count from 1; what is not a number comes first, since from there on nothing is. */
function largestFirst(activations: readonly number[]): string {
  const size = (value: number): number => (Number.isNaN(value) ? Infinity : value)
  return Array.from(activations, (value, i) => ({ layer: i + 1, value }))
    .sort((a, b) => size(b.value) - size(a.value) || a.layer - b.layer)
    .slice(0, LAYERS_NAMED)
    .map(({ layer, value }) => `${value.toPrecision(3)} in layer ${layer}`)
    .join(', ')
}
