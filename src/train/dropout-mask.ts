import type { Tensor } from 'onnxruntime-node'
import type { AdapterLayer } from '../model/adapter-layers.ts'
import type { ModelConfig } from '../model/config.ts'
import { PROJECTIONS, projectionInfo } from '../model/projections.ts'
import { tensor } from '../onnx/session.ts'
import type { DropoutCounters } from './engine.ts'
import { RandomStream } from './random.ts'

/** Probabilities are multiples of 2^-16: two elements from each random word. */
const STEPS = 0x10000

/** The masks of one layer, by buildLayer's inputs (`q_proj.keep`), for `tokens` places: each module has its own, as in PEFT. */
export function dropoutMasks(
  config: ModelConfig,
  tokens: number,
  { lora }: AdapterLayer,
  layer: number,
  probability: number,
  { seed, step, microBatch }: DropoutCounters,
): [string, Tensor][] {
  return Array.from(lora.keys(), (projection) => {
    const width = projectionInfo(config, projection).in
    const place = layer * PROJECTIONS.length + PROJECTIONS.indexOf(projection)
    const index = microBatch * config.layers * PROJECTIONS.length + place
    const random = new RandomStream(seed, 'lora-dropout', step, index)
    return [
      `${projection}.keep`,
      tensor('uint8', keepMask(tokens * width, probability, random), [tokens, width]),
    ]
  })
}

/** 1 where an element is kept, with probability 1 - p. */
function keepMask(size: number, p: number, random: RandomStream): Uint8Array {
  const dropped = Math.round(p * STEPS)
  const mask = new Uint8Array(size)
  for (let i = 0; i < size; i += 2) {
    const word = random.uint32()
    mask[i] = (word & 0xffff) < dropped ? 0 : 1
    // Beyond the end of an odd-sized mask, writing does nothing.
    mask[i + 1] = word >>> 16 < dropped ? 0 : 1
  }
  return mask
}
