import type { Tensor } from 'onnxruntime-node'
import { attentionMask } from '../model/attention-mask.ts'
import type { ModelConfig } from '../model/config.ts'
import { ropeTables } from '../model/rope.ts'
import { tensor } from '../onnx/session.ts'
import type { Batch } from './batch.ts'

/** What every layer needs of a batch, by the names of buildLayer's inputs. With `oneMask` the mask has one row where all rows share it. */
export function batchTensors(
  config: ModelConfig,
  batch: Batch,
  options: { oneMask: boolean },
): Map<string, Tensor> {
  const { rows, length, positions, segments } = batch
  const highest = positions.reduce((a, b) => Math.max(a, b), length - 1)
  const { cos, sin, shape } = ropeTables(config, highest + 1)
  const mask = attentionMask(segments, rows, length, options)
  return new Map([
    ['positions', tensor('int64', BigInt64Array.from(positions, BigInt), [rows, length])],
    ['cos', tensor('float32', cos, shape)],
    ['sin', tensor('float32', sin, shape)],
    ['mask', tensor('float32', mask.data, [mask.rows, 1, length, length])],
  ])
}
