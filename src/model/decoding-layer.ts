import { extract, type GraphFunction } from '../onnx/extract.ts'
import { Graph } from '../onnx/graph.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import { buildLayer } from './layer.ts'
import type { LinearFormat } from './linear-format.ts'

/** A layer for inference, one row: x [T, hidden], past_keys, past_values [1, kvHeads, P, headDim], … → y, keys, values. */
export function decodingLayer(
  config: ModelConfig,
  { lora }: AdapterLayer,
  linear: LinearFormat,
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
    past: 'P',
  })
  return extract(inputs, new Map(Object.entries({ y, keys, values })))
}
