import type { Tensor } from 'onnxruntime-node'
import { tensor } from '../onnx/session.ts'
import type { Batch } from './batch.ts'
import type { DropoutCounters } from './engine.ts'
import { RandomStream } from './random.ts'

/**
 * NEFTune's noise for a batch's embeddings, [rows·length, width]: uniform in ±alpha/√(L·width), where L is the length of the sample
 * that the token belongs to, as in arXiv:2310.05914 (transformers takes the padded batch's length; without padding both are the same).
 * Padding gets none, so both layouts draw the same numbers.
 */
export function embeddingNoise(
  { rows, length, segments }: Batch,
  width: number,
  alpha: number,
  { seed, step, microBatch }: DropoutCounters,
): Tensor {
  const random = new RandomStream(seed, 'embedding-noise', step, microBatch)
  const noise = new Float32Array(rows * length * width)
  for (let row = 0; row < rows; row++) {
    const own = segments.subarray(row * length, (row + 1) * length)
    const lengths = new Map<number, number>()
    for (const segment of own) lengths.set(segment, (lengths.get(segment) ?? 0) + 1)
    for (const [t, segment] of own.entries()) {
      if (segment === 0) continue
      const bound = alpha / Math.sqrt((lengths.get(segment) as number) * width)
      const at = (row * length + t) * width
      for (let i = 0; i < width; i++) noise[at + i] = (2 * random.uniform() - 1) * bound
    }
  }
  return tensor('float32', noise, [rows * length, width])
}
