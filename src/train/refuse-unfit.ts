import { InputError } from '../errors.ts'
import type { LoraConfig } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import { type Checkpointing, fullPlan, type Precision, precisionPlan } from '../model/precision.ts'
import { PROJECTIONS } from '../model/projections.ts'
import type { WeightSource } from '../model/weights.ts'
import { estimateMemory, type MemoryEstimate } from './estimate-memory.ts'
import type { MemoryLimit } from './memory-limit.ts'

/** A training in layout by-layer, as far as its memory goes. */
export interface PlannedTraining {
  config: ModelConfig
  weights: Pick<WeightSource, 'infos'>
  /** What is trained. */
  lora: LoraConfig | 'all-weights'
  /** Bits of the optimizer's moments. */
  momentBits?: 8 | 32
  /** loadBestModelAtEnd. */
  keepsBest?: boolean
  precision: Precision
  checkpointing: Checkpointing
  /** Rows of a micro-batch, and the tokens of the longest. */
  rows: number
  length: number
}

/** The estimate is within 15 % of what is measured (docs/performance.md): what may fit is not refused. */
const MARGIN = 0.85

/** The last good state, and a checkpoint on its way to the store. */
const STATE_COPIES = 2

const SHORTEST = 128

/** What method lora is without further settings. */
const SMALL_LORA: LoraConfig = {
  r: 16,
  loraAlpha: 32,
  loraDropout: 0,
  targetModules: [...PROJECTIONS],
  useRslora: false,
}

/** The estimate; InputError with the smallest change that would fit where not even its lower end does. */
export function refuseUnfit(training: PlannedTraining, limit: MemoryLimit): MemoryEstimate {
  const estimate = memoryOf(training)
  if (MARGIN * estimate.total <= limit.bytes) return estimate
  const { weights, adapter, activations, workspace, logits } = estimate
  const parts = `weights ${gigabytes(weights)}, ${training.lora === 'all-weights' ? 'gradients' : 'adapter'} and optimizer ${gigabytes(adapter)}, kept activations ${gigabytes(activations)}, a layer's work ${gigabytes(workspace)}, logits ${gigabytes(logits)}`
  const fitting = changes(training).find(({ changed }) => memoryOf(changed).total <= limit.bytes)
  const mend = fitting
    ? `set ${fitting.text} (about ${gigabytes(memoryOf(fitting.changed).total)})`
    : `no setting of this model is small enough: choose a smaller model, or give it ${gigabytes(estimate.total)}`
  throw new InputError(
    `The training needs about ${gigabytes(estimate.total)} of memory (${parts}), but this ${limit.of} has ${gigabytes(limit.bytes)}; ${mend}`,
  )
}

function memoryOf({ weights, precision, checkpointing, ...demand }: PlannedTraining): MemoryEstimate {
  const plan =
    demand.lora === 'all-weights'
      ? fullPlan(checkpointing)
      : precisionPlan(precision, demand.config, weights, checkpointing)
  return estimateMemory({ ...demand, plan, stateCopies: STATE_COPIES })
}

interface Change {
  text: string
  changed: PlannedTraining
}

/** From what changes nothing in the result to what changes the data. */
function changes(training: PlannedTraining): Change[] {
  const { rows, length, precision } = training
  const batch = (from: PlannedTraining, size: number): Change => ({
    text: `spec.train.perDeviceTrainBatchSize to ${size} instead of ${rows}, and gradientAccumulationSteps ${rows / size} times higher`,
    changed: { ...from, rows: size },
  })
  const full: PlannedTraining = { ...training, checkpointing: 'full' }
  const also = (text: string, changed: PlannedTraining): Change[] => [
    { text, changed },
    ...(rows > 1
      ? [{ text: `${text}, and perDeviceTrainBatchSize to 1`, changed: { ...changed, rows: 1 } }]
      : []),
  ]
  const smaller = Array.from({ length: rows - 1 }, (_, i) => rows - 1 - i).filter((size) => rows % size === 0)
  const sameModel = [
    ...smaller.map((size) => batch(training, size)),
    ...(training.checkpointing === 'full' ? [] : also('spec.train.gradientCheckpointing to full', full)),
  ]
  if (training.lora === 'all-weights')
    return [
      ...sameModel,
      ...(training.momentBits === 8
        ? []
        : also('spec.train.optim to adamw_8bit, gradientCheckpointing to full', { ...full, momentBits: 8 })),
      ...also('spec.train.method to lora, gradientCheckpointing to full', { ...full, lora: SMALL_LORA }),
    ]
  const lengths: number[] = []
  for (let shorter = length >> 1; shorter >= SHORTEST; shorter >>= 1) lengths.push(shorter)
  const least: PlannedTraining = { ...full, precision: 'qlora', rows: 1 }
  return [
    ...sameModel,
    ...(precision === 'exact' || precision === 'fast'
      ? also('spec.train.precision to small', { ...full, precision: 'small' })
      : []),
    ...(precision === 'qlora'
      ? []
      : also('spec.train.precision to qlora, gradientCheckpointing to full', { ...least, rows })),
    ...lengths.map((shorter) => ({
      text: `spec.data.maxLength to ${shorter}, spec.train.precision to qlora, gradientCheckpointing to full and perDeviceTrainBatchSize to 1`,
      changed: { ...least, length: shorter },
    })),
  ]
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`
}
