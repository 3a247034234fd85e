import type { ModelConfig } from './config.ts'
import type { SmoothedSides } from './linear-format.ts'
import type { Projection } from './projections.ts'

/** What a layer's matrices are multiplied with: the inputs of q, k and v, of o, of gate and up, and of down. */
export type SmoothedInput = 'qkv' | 'o' | 'mlp' | 'down'

/**
 * SmoothQuant (arXiv:2211.10438, alpha 0.5): factors s for the channels of each input. The input comes divided by s and the
 * matrix multiplied by s, so that a channel of large values takes less from the precision of the others. Dividing costs
 * nothing: it is in the norm's weight, in v's rows for o and in up's for down.
 */
export type LayerSmoothing = Readonly<Record<SmoothedInput, Float32Array>>

/** Channels that are always, or never, nothing have no factor to find. */
const NEUTRAL = 1

/** For one input: √(largest input / largest weight) of each channel. */
export function smoothingFactors(largestInputs: Float32Array, largestWeights: Float32Array): Float32Array {
  return largestInputs.map((input, i) => {
    const factor = Math.sqrt(input / (largestWeights[i] as number))
    return Number.isFinite(factor) && factor > 0 ? factor : NEUTRAL
  })
}

/** By how much a projection's columns are multiplied and its rows divided. */
export function smoothedSides(
  { heads, kvHeads, headDim }: ModelConfig,
  smoothing: LayerSmoothing,
  projection: Projection,
): SmoothedSides {
  switch (projection) {
    case 'q_proj':
    case 'k_proj':
      return { columns: smoothing.qkv }
    case 'v_proj':
      return { columns: smoothing.qkv, rows: smoothing.o }
    case 'o_proj': {
      const columns = new Float32Array(heads * headDim)
      for (let head = 0; head < heads; head++) {
        const group = Math.floor(head / (heads / kvHeads))
        columns.set(smoothing.o.subarray(group * headDim, (group + 1) * headDim), head * headDim)
      }
      return { columns }
    }
    case 'gate_proj':
      return { columns: smoothing.mlp }
    case 'up_proj':
      return { columns: smoothing.mlp, rows: smoothing.down }
    case 'down_proj':
      return { columns: smoothing.down }
  }
}

/** The largest of each group of query heads that share one key head: [heads·headDim] → [kvHeads·headDim]. */
export function largestOfGroups(
  { heads, kvHeads, headDim }: ModelConfig,
  values: Float32Array,
): Float32Array {
  const largest = new Float32Array(kvHeads * headDim)
  for (const [i, value] of values.entries()) {
    const group = Math.floor(Math.floor(i / headDim) / (heads / kvHeads))
    const at = group * headDim + (i % headDim)
    largest[at] = Math.max(largest[at] as number, value)
  }
  return largest
}
