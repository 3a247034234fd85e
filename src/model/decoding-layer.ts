import { extract, type GraphFunction } from '../onnx/extract.ts'
import { Graph } from '../onnx/graph.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import * as o from '../onnx/ops.ts'
import { buildLayer, type ComputeType } from './layer.ts'
import type { LinearFormat } from './linear-format.ts'

/** A layer for inference, one row: x [T, hidden], past_keys, past_values [1, kvHeads, P, headDim], … → y, keys, values. */
export function decodingLayer(
  config: ModelConfig,
  { lora }: AdapterLayer,
  linear: LinearFormat,
  compute?: ComputeType,
): GraphFunction {
  const { inputs, y, keys, values } = buildLayer(new Graph(), {
    config,
    rows: 1,
    blockLength: 'T',
    blocks: 1,
    attention: 'given',
    tableRows: 'R',
    lora,
    linear,
    compute,
    past: 'P',
  })
  // The cache passes from call to call in numbers that can.
  const cache = { keys: o.inType(keys, 'float32'), values: o.inType(values, 'float32') }
  return extract(inputs, new Map(Object.entries({ y, ...cache })))
}
