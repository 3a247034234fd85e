import type { Tensor } from 'onnxruntime-node'
import { tensor } from '../onnx/session.ts'
import { MASKED } from './attention-mask.ts'
import type { ModelConfig } from './config.ts'
import { ropeTables } from './rope.ts'

/** What every layer needs to read `length` tokens after `past` others: positions, rope tables and the causal mask. */
export function decoderTensors(config: ModelConfig, past: number, length: number): Map<string, Tensor> {
  const seen = past + length
  // Only the new tokens' rows, so that a token's work does not grow with the text: position 0 of the table is `past`.
  const { cos, sin, shape } = ropeTables(config, length, past)
  const mask = new Float32Array(length * seen)
  for (let t = 0; t < length; t++) mask.fill(MASKED, t * seen + past + t + 1, (t + 1) * seen)
  const positions = BigInt64Array.from({ length }, (_, t) => BigInt(t))
  return new Map([
    ['positions', tensor('int64', positions, [1, length])],
    ['cos', tensor('float32', cos, shape)],
    ['sin', tensor('float32', sin, shape)],
    ['mask', tensor('float32', mask, [1, 1, length, seen])],
  ])
}
