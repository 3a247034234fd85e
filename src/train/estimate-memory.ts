import type { LoraConfig } from '../model/adapter.ts'
import { causalBlocks } from '../model/causal-blocks.ts'
import type { ModelConfig } from '../model/config.ts'
import { HEAD_ROWS, sliceTokens } from '../model/head-slices.ts'
import { layerFunctions } from '../model/layer-functions.ts'
import { headFormatBeside, INT4_BLOCK, type LinearFormat } from '../model/linear-format.ts'
import type { PrecisionPlan } from '../model/precision.ts'
import { PROJECTIONS, projectionInfo } from '../model/projections.ts'
import { bytesOf, peakBytes } from '../onnx/peak-bytes.ts'
import { momentBytes } from './blockwise-moment.ts'
import { layerLora, trainedSizes } from './trained-sizes.ts'

/** What decides how much memory a training takes, in layout by-layer. */
export interface MemoryDemand {
  config: ModelConfig
  plan: PrecisionPlan
  /** What is trained. */
  lora: LoraConfig | 'all-weights'
  /** Bits of the optimizer's moments. */
  momentBits?: 8 | 32
  /** The best model so far is held beside the live one. */
  keepsBest?: boolean
  /** Of the largest micro-batch. */
  rows: number
  length: number
  /** Copies of what is trained, with its moments, beside the live ones: the last good state, a checkpoint on its way. */
  stateCopies: number
}

/** In bytes. */
export interface MemoryEstimate {
  /** Node, ONNX Runtime and the graphs. */
  program: number
  weights: number
  /** Gradients, moments and copies of what is trained; with LoRA the adapter itself as well. */
  adapter: number
  /** What the forward pass keeps for the backward pass. */
  activations: number
  /** What one layer's passes hold while they run. */
  workspace: number
  /** A slice of the logits, and the head's part that is float32 for it. */
  logits: number
  /** What has been let go of and is not yet given back: Node collects buffers when enough have gathered. */
  uncollected: number
  total: number
}

/** Measured, as are the next two: what is left of 28 trainings of four models beside the parts of known sizes (docs/performance.md). */
const PROGRAM = 80e6
const MOST_UNCOLLECTED = 140e6
const UNCOLLECTED_SHARE = 0.5
/** ONNX Runtime's arena grows by doubling. */
const ARENA = 2
const FLOAT = 4

/**
 * What a training will hold at most, from the graphs themselves: kept tensors and temporaries have known sizes. Held against
 * measurements in docs/performance.md.
 */
export function estimateMemory({
  config,
  plan,
  lora,
  rows,
  length: given,
  ...state
}: MemoryDemand): MemoryEstimate {
  const isFull = lora === 'all-weights'
  const blocks = causalBlocks(given)
  const blockLength = Math.ceil(given / blocks)
  const tokens = rows * blocks * blockLength
  const { keeping, backward } = layerFunctions(
    {
      config,
      rows,
      blocks,
      blockLength,
      attention: 'causal',
      tableRows: blocks * blockLength,
      lora: isFull ? new Map() : layerLora(config, lora, 0),
      linear: plan.linear,
    },
    plan.kept,
    isFull ? 'weights' : 'adapter',
  )
  const stream = tokens * config.hiddenSize * FLOAT
  const kept = sum(Array.from(keeping.outputs, ([name, value]) => (name === 'y' ? 0 : bytesOf(value))))
  // A run's outputs are copied: small ones are among what is uncollected, a layer's gradients are not small.
  const copied = isFull ? sum(Array.from(backward.outputs.values(), bytesOf)) : 0
  const passes = [peakBytes(keeping), peakBytes(backward) + copied] as const
  const allWeights = sum(trainedSizes(config, 'all-weights')) * FLOAT
  const working = {
    adapter: stateBytes(trainedSizes(config, lora), state) - (isFull ? allWeights : 0),
    activations: config.layers * (kept + stream) + 2 * stream,
    // Each session keeps what it once had.
    workspace: ARENA * (passes[0] + passes[1]),
    logits: headBytes(config, plan, Math.min(tokens, HEAD_ROWS), isFull),
  }
  const parts = {
    program: PROGRAM,
    weights: isFull ? allWeights : weightBytes(config, plan.linear),
    ...working,
    uncollected: Math.min(MOST_UNCOLLECTED, UNCOLLECTED_SHARE * sum(Object.values(working))),
  }
  return { ...parts, total: sum(Object.values(parts)) }
}

/** Values, gradients, moments and the best values; and copies of all but the gradients. */
function stateBytes(
  sizes: readonly number[],
  {
    momentBits = 32,
    keepsBest = false,
    stateCopies,
  }: Pick<MemoryDemand, 'momentBits' | 'keepsBest' | 'stateCopies'>,
): number {
  const values = sum(sizes) * FLOAT
  const moments = 2 * sum(sizes.map((size) => momentBytes(size, momentBits)))
  const kept = values + moments + (keepsBest ? values : 0)
  return values + kept + stateCopies * kept
}

function headBytes(
  config: ModelConfig,
  { linear, frugal }: PrecisionPlan,
  rows: number,
  isFull: boolean,
): number {
  const tokens = sliceTokens([config.vocabularySize, config.hiddenSize], rows, frugal)
  const rowBytes = rows * config.hiddenSize * FLOAT
  const slice = linear === 'float32' ? 0 : tokens * config.hiddenSize * FLOAT
  // Logits and probabilities; the rows before and after the norm, their targets and gradients.
  // Where the head is trained, the gradient of a slice and its copy.
  const gradient = isFull ? 2 * tokens * config.hiddenSize * FLOAT : 0
  return 2 * rows * tokens * FLOAT + slice + gradient + 6 * rowBytes
}

/** Bytes of the frozen weights as loadFrozenWeights() holds them. */
function weightBytes(config: ModelConfig, linear: LinearFormat): number {
  const { hiddenSize, headDim, layers, vocabularySize, queryKeyNorm } = config
  const matrices = PROJECTIONS.map((projection) => {
    const info = projectionInfo(config, projection)
    return matrixBytes(info.out, info.in, linear) + (info.bias ? info.out * FLOAT : 0)
  })
  const norms = (2 * hiddenSize + (queryKeyNorm ? 2 * headDim : 0)) * FLOAT
  return layers * (sum(matrices) + norms) + matrixBytes(vocabularySize, hiddenSize, headFormatBeside(linear))
}

function matrixBytes(rows: number, columns: number, linear: LinearFormat): number {
  switch (linear) {
    case 'float32':
      return rows * columns * 4
    case 'float16':
    case 'bfloat16':
      return rows * columns * 2
    case 'int8':
    case 'w8a8':
    case 'w8a16':
      return rows * columns + rows * FLOAT
    case 'int4':
    case 'w4a16':
      return (rows * columns) / 2 + (rows * columns) / INT4_BLOCK + rows * FLOAT
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}
