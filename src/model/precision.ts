import { InputError } from '../errors.ts'
import { hasInt8Products } from '../onnx/instruction-set.ts'
import type { ComputeType } from './layer.ts'
import type { KeptTensors } from './layer-functions.ts'
import type { LinearFormat } from './linear-format.ts'
import { PROJECTIONS, projectionPath } from './projections.ts'
import type { ModelConfig } from './config.ts'
import type { WeightSource } from './weights.ts'

/**
 * What a training step trades for what. `exact`: float32 arithmetic. `fast`: int8 products with frozen
 * matrices, forward and backward. `small`: least memory. `qlora`: a 4-bit base. In both, what the base is multiplied with has 16 bits. `fp16` and `bf16`: products in 16 bits, in layout whole.
 */
export const BY_LAYER_PRECISIONS = ['exact', 'fast', 'small', 'qlora'] as const
export const PRECISIONS = [...BY_LAYER_PRECISIONS, 'fp16', 'bf16'] as const
export type Precision = (typeof PRECISIONS)[number]

/** What of a layer is computed again in the backward pass: nothing, what is cheap, or all. */
export const CHECKPOINTINGS = ['none', 'selective', 'full'] as const
export type Checkpointing = (typeof CHECKPOINTINGS)[number]

export interface PrecisionPlan {
  linear: LinearFormat
  kept: KeptTensors
  /** Take the output head in smaller slices. */
  frugal: boolean
}

/**
 * Without `checkpointing` what the precision itself is made for: all again in `small`, selective in the others. A processor without `int8Products` computes
 * with the same rounded matrices in float32.
 */
export function precisionPlan(
  precision: Precision,
  config: ModelConfig,
  source: Pick<WeightSource, 'infos'>,
  checkpointing?: Checkpointing,
  int8Products = hasInt8Products(),
): PrecisionPlan {
  return withCheckpointing(ownPlan(precision, config, source, int8Products), precision, checkpointing)
}

/** Where all weights are trained: the weights themselves in float32, however the base is stored. */
export function fullPlan(checkpointing?: Checkpointing): PrecisionPlan {
  return withCheckpointing({ linear: 'float32', kept: 'float32', frugal: false }, 'exact', checkpointing)
}

function withCheckpointing(
  plan: PrecisionPlan,
  precision: Precision,
  checkpointing: Checkpointing | undefined,
): PrecisionPlan {
  switch (checkpointing) {
    case undefined:
      return plan
    case 'none':
      return { ...plan, kept: 'everything' }
    case 'selective':
      return { ...plan, kept: precision === 'exact' ? 'float32' : 'float16' }
    case 'full':
      return { ...plan, kept: 'nothing', frugal: true }
  }
}

function ownPlan(
  precision: Precision,
  config: ModelConfig,
  source: Pick<WeightSource, 'infos'>,
  int8Products: boolean,
): PrecisionPlan {
  switch (precision) {
    case 'exact':
      return { linear: isHalf(config, source) ? 'float16' : 'float32', kept: 'float32', frugal: false }
    case 'fast':
      return { linear: int8Products ? 'w8a8' : 'int8', kept: 'float16', frugal: false }
    case 'small':
      return { linear: int8Products ? 'w8a16' : 'int8', kept: 'nothing', frugal: true }
    case 'qlora':
      return { linear: int8Products ? 'w4a16' : 'int4', kept: 'float16', frugal: false }
    case 'fp16':
    case 'bf16':
      throw new InputError(
        `precision ${precision} is made for layout whole, which a GPU runs; choose device cuda or layout whole, or precision exact`,
      )
  }
}

/** In layout whole. InputError where a precision is made for the other. */
export function wholePlan(precision: Precision): { linear: LinearFormat; compute: ComputeType } {
  switch (precision) {
    case 'exact':
      return { linear: 'float32', compute: 'float32' }
    case 'fp16':
      return { linear: 'float16', compute: 'float16' }
    case 'bf16':
      return { linear: 'bfloat16', compute: 'bfloat16' }
    case 'fast':
    case 'small':
    case 'qlora':
      throw new InputError(
        `precision ${precision} is not made for layout whole; choose layout by-layer, or precision exact`,
      )
  }
}

/**
 * Whether all matrices are stored in 16 bits, so that 16 bits hold them in memory too. bfloat16's 8 bits of fraction fit
 * into float16's 11; only what is below 2^-17 loses digits, at most 2^-25 each, far below the rounding of a float32 sum.
 */
function isHalf(config: ModelConfig, { infos }: Pick<WeightSource, 'infos'>): boolean {
  return Array.from({ length: config.layers }, (_, layer) => layer).every((layer) =>
    PROJECTIONS.every((projection) => {
      const type = infos.get(`${projectionPath(config, layer, projection)}.weight`)?.type
      return type === 'F16' || type === 'BF16'
    }),
  )
}
