import type { Tensor } from 'onnxruntime-node'
import { attentionMask, causalTriangle, hasManySegments } from '../model/attention-mask.ts'
import type { AttentionKind } from '../model/attention.ts'
import type { ModelConfig } from '../model/config.ts'
import { ropeTables } from '../model/rope.ts'
import { tensor } from '../onnx/session.ts'
import type { Batch } from './batch.ts'

/**
 * What every layer needs of a batch, by the names of buildLayer's inputs: for the kinds of attention that need no whole
 * mask cut into `blocks`, else with that mask.
 */
export function batchTensors(
  config: ModelConfig,
  batch: Batch,
  attention: AttentionKind,
  blocks: number,
): Map<string, Tensor> {
  const { rows, length, positions } = batch
  const highest = positions.reduce((a, b) => Math.max(a, b), length - 1)
  const { cos, sin, shape } = ropeTables(config, highest + 1)
  return new Map([
    ['positions', tensor('int64', BigInt64Array.from(positions, BigInt), [rows, length])],
    ['cos', tensor('float32', cos, shape)],
    ['sin', tensor('float32', sin, shape)],
    ...maskTensors(batch, attention, blocks),
  ])
}

/** The kind of attention that is enough for a batch. */
export function attentionKind({ segments, rows, length }: Batch): AttentionKind {
  return hasManySegments(segments, rows, length) ? 'segments' : 'causal'
}

function maskTensors(
  { segments, rows, length }: Batch,
  attention: AttentionKind,
  blocks: number,
): [string, Tensor][] {
  const triangle = (): [string, Tensor] => [
    'causal',
    tensor('float32', causalTriangle(length / blocks, length), [length / blocks, length]),
  ]
  switch (attention) {
    case 'given':
      return [['mask', tensor('float32', attentionMask(segments, rows, length), [rows, 1, length, length])]]
    case 'causal':
      return [triangle()]
    case 'segments':
      return [triangle(), ['segments', tensor('int32', segments, [rows, length])]]
  }
}
