import type { Tensor } from 'onnxruntime-node'
import { tensor } from '../onnx/session.ts'
import type { AdapterLayer } from './adapter-layers.ts'
import type { FrozenWeights } from './frozen-weights.ts'

/** A layer's frozen and adapter tensors by the names of buildLayer's inputs, over the live arrays: nothing is copied. */
export function layerTensors(
  weights: FrozenWeights,
  layer: number,
  adapter: AdapterLayer,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  for (const [name, { type, data, shape }] of weights.layers[layer] ?? [])
    tensors.set(name, tensor(type, data, shape))
  for (const [name, { data, shape }] of adapter.tensors) tensors.set(name, tensor('float32', data, shape))
  return tensors
}
