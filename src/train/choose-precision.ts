import type { BaseModel } from '../base/base-model.ts'
import type { LoraConfig } from '../model/adapter.ts'
import type { Precision } from '../model/precision.ts'
import { adapterWithB } from './adapter-with-b.ts'
import { type NamedRows, packedBatchOf, tokensOf } from './batches.ts'
import type { Batch } from './batch.ts'
import { calibratedRows, calibrationRows } from './calibration-rows.ts'
import { compareGradients } from './compare-gradients.ts'
import { createEngine } from './create-engine.ts'
import { hasInt8Products } from '../onnx/instruction-set.ts'
import type { PrecisionChoice, PrecisionComparison } from './precision-choice.ts'

/**
 * Comparing takes about as long as training on 2,500 tokens (two loads, the calibration, a step in each precision), and `fast` saves
 * a quarter of the time: shorter trainings end sooner without.
 */
export const LEAST_TOKENS = 20_000
/** Of the rows that both precisions are compared on. */
const MOST_TOKENS = 512
const LEAST_COMPARED = 64
/**
 * SmolLM2-135M has 0.974 on 512 tokens and 0.898 on 128, and after 100 steps of 128 a loss within 0.2 % of that of `exact`
 * (docs/performance.md). Where whole channels are lost, layers are far below.
 */
const LEAST_COSINE = 0.85
/** Of the loss of `exact`. */
const MOST_LOSS_DIFFERENCE = 0.01

interface ChoosingJob {
  base: Pick<BaseModel, 'config' | 'weights'>
  rows: NamedRows
  lora: LoraConfig
  threads: number
  seed: number
  /** That the whole training will pass. */
  plannedTokens: number
  /** Told of each layer that is done. */
  progress: (layer: number) => void
}

/**
 * The fastest precision by layer whose gradients a LoRA job can trust: `fast` where on rows of its own data, which it was not calibrated
 * on, every layer's gradients point where those of `exact` do and the loss is the same within 1 %; else `exact`. Equal jobs on
 * an equal instruction set choose alike: nothing here is timed.
 */
export async function choosePrecision(job: ChoosingJob): Promise<PrecisionChoice> {
  const exact = (why: string): PrecisionChoice => ({ chosen: 'exact', why })
  if (job.lora.useDora === true) return exact('DoRA needs the lengths of float32 weights')
  if (!hasInt8Products()) return exact('this processor has no int8 products')
  if (job.plannedTokens < LEAST_TOKENS)
    return exact(
      `comparing does not pay for a training of ${job.plannedTokens} tokens, fewer than ${LEAST_TOKENS}`,
    )
  const batch = comparedRows(job.rows)
  if (!batch) return exact(`too few rows to compare fast on others than it is calibrated on`)
  const wanted = await firstStep(job, 'exact', batch)
  const found = await firstStep(job, 'fast', batch)
  const { layers, error } = compareGradients(found.gradients, wanted.gradients)
  const compared: PrecisionComparison = {
    tokens: tokensOf(batch),
    // A layer without an adapter has no gradients and no place in the list.
    lowestLayerCosine: layers.reduce((a, b) => Math.min(a, b), 1),
    relativeError: error,
    loss: found.loss,
    exactLoss: wanted.loss,
  }
  if (!Object.values(compared).every(Number.isFinite))
    return exact(
      'of the rows that were to show what fast does, the loss or the gradients of a layer are no numbers',
    )
  return { ...judge(compared), compared }
}

function judge({ tokens, lowestLayerCosine, loss, exactLoss }: PrecisionComparison): PrecisionChoice {
  const difference = Math.abs(loss / exactLoss - 1)
  const [cosine, percent] = [lowestLayerCosine.toFixed(3), (100 * difference).toFixed(2)]
  const seen = `on ${tokens} tokens of this job's rows the gradients' lowest cosine with float32 is ${cosine} in fast, and the loss differs by ${percent} %`
  return lowestLayerCosine >= LEAST_COSINE && difference <= MOST_LOSS_DIFFERENCE
    ? { chosen: 'fast', why: seen }
    : { chosen: 'exact', why: `${seen}; wanted are ${LEAST_COSINE} and ${100 * MOST_LOSS_DIFFERENCE} %` }
}

/** Rows that are not calibrated on, as one row in which they do not see each other. */
function comparedRows(rows: NamedRows): Batch | undefined {
  const pack: number[] = []
  let tokens = 0
  for (let row = calibratedRows(rows); row < rows.count && tokens < MOST_TOKENS; row++) {
    pack.push(row)
    tokens += rows.ids(row).length
  }
  return tokens < LEAST_COMPARED ? undefined : packedBatchOf(rows, [pack])
}

async function firstStep(
  { base, rows, lora, threads, seed, progress }: ChoosingJob,
  precision: Precision,
  batch: Batch,
) {
  const { config, weights } = base
  const engine = await createEngine({
    config,
    weights,
    adapter: adapterWithB(config, lora, seed, weights),
    layout: 'by-layer',
    precision,
    threads,
    calibration: calibrationRows(rows),
  })
  try {
    const { lossSum, tokens } = await engine.accumulate(batch, progress)
    return { loss: lossSum / tokens, gradients: engine.gradients }
  } finally {
    await engine.dispose()
  }
}
