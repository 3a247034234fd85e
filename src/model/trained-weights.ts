import type { AdapterLayer } from './adapter-layers.ts'
import type { ModelConfig } from './config.ts'
import { EMBEDDING, FINAL_NORM, OUTPUT_HEAD, type FrozenWeights } from './frozen-weights.ts'
import { layerWeightName } from './layer-weight-name.ts'
import type { Trained } from './trained.ts'

/**
 * All weights of a model as what is trained, over the very arrays that its layers, embedding and head are computed with. They must be
 * float32 and in memory. Tied weights are one tensor, under the embedding's name.
 */
export function trainedWeights(
  config: ModelConfig,
  { embedding, layers, finalNorm, head }: FrozenWeights,
): { trained: Trained; layers: AdapterLayer[] } {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>()
  const take = (
    name: string,
    { type, shape, data }: { type: string; shape: readonly number[]; data: unknown },
  ) => {
    if (type !== 'float32' || !(data instanceof Float32Array))
      throw new Error(`${name} is ${type}: all weights are trained in float32 only`)
    tensors.set(name, { shape, data })
    return { name, shape, data }
  }
  if (embedding.at === 'file') throw new Error('all weights are trained in memory only')
  take(EMBEDDING, embedding.matrix)
  const parts = layers.map((weights, layer): AdapterLayer => ({
    lora: new Map(),
    tensors: new Map(
      Array.from(weights, ([input, weight]) => {
        const name = layerWeightName(config, layer, input)
        if (name === undefined) throw new Error(`${input} is no weight of the model`)
        return [input, take(name, weight)]
      }),
    ),
  }))
  take(FINAL_NORM, finalNorm)
  if (!config.tiedEmbeddings) take(OUTPUT_HEAD, head)
  return { trained: { tensors }, layers: parts }
}
