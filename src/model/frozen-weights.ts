import { InputError } from '../errors.ts'
import type { ModelConfig } from './config.ts'
import { storeLinear, type LinearFormat, type StoredTensor } from './linear-format.ts'
import { PROJECTIONS, projectionInfo, projectionPath } from './projections.ts'
import type { WeightSource } from './weights.ts'

export interface FrozenTensor extends StoredTensor {
  type: 'float32'
  data: Float32Array
}

/** A base model's weights in memory: float32, save for the layers' matrices. */
export interface FrozenWeights {
  /** [vocabulary, hidden]. */
  embedding: FrozenTensor
  /** The layers' matrices. */
  linear: LinearFormat
  /** By the names of buildLayer's inputs: input_norm, q_proj, q_proj.bias, … */
  layers: ReadonlyMap<string, StoredTensor>[]
  finalNorm: FrozenTensor
  /** [vocabulary, hidden]; the embedding itself where they are tied. */
  head: FrozenTensor
}

/** Reads all weights, checked against the config: InputError names a tensor that is missing or has another shape. */
export function loadFrozenWeights(
  config: ModelConfig,
  source: WeightSource,
  linear: LinearFormat = 'float32',
): FrozenWeights {
  const read = (name: string, shape: readonly number[]): FrozenTensor => {
    const found = source.infos.get(name)?.shape
    if (found && found.join() !== shape.join())
      throw new InputError(
        `the weight ${name} is [${found.join(', ')}], but config.json asks for [${shape.join(', ')}]; the files are not of one model`,
      )
    return { type: 'float32', data: source.float32(name), shape }
  }
  const { hiddenSize, vocabularySize } = config
  const embedding = read('model.embed_tokens.weight', [vocabularySize, hiddenSize])
  const layers = Array.from({ length: config.layers }, (_, layer) => {
    const weights = new Map<string, StoredTensor>()
    const prefix = `model.layers.${layer}`
    weights.set('input_norm', read(`${prefix}.input_layernorm.weight`, [hiddenSize]))
    weights.set('post_norm', read(`${prefix}.post_attention_layernorm.weight`, [hiddenSize]))
    if (config.queryKeyNorm)
      for (const name of ['q_norm', 'k_norm'])
        weights.set(name, read(`${prefix}.self_attn.${name}.weight`, [config.headDim]))
    for (const projection of PROJECTIONS) {
      const info = projectionInfo(config, projection)
      const path = projectionPath(config, layer, projection)
      const { data } = read(`${path}.weight`, [info.out, info.in])
      for (const [name, stored] of storeLinear(projection, data, [info.out, info.in], linear))
        weights.set(name, stored)
      if (info.bias) weights.set(`${projection}.bias`, read(`${path}.bias`, [info.out]))
    }
    return weights
  })
  return {
    embedding,
    linear,
    layers,
    finalNorm: read('model.norm.weight', [hiddenSize]),
    head: config.tiedEmbeddings ? embedding : read('lm_head.weight', [vocabularySize, hiddenSize]),
  }
}

/** The embedding's rows of the given tokens, [tokens, hidden]. InputError where a token is not in the vocabulary. */
export function embed({ data, shape }: FrozenTensor, ids: ArrayLike<number>): Float32Array {
  const [vocabulary, width] = shape as [number, number]
  checkTokens(ids, vocabulary)
  const rows = new Float32Array(ids.length * width)
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number
    rows.set(data.subarray(id * width, (id + 1) * width), i * width)
  }
  return rows
}

/** InputError where a token is not in the vocabulary. */
export function checkTokens(ids: ArrayLike<number>, vocabulary: number): void {
  for (let i = 0; i < ids.length; i++)
    if (!((ids[i] as number) >= 0 && (ids[i] as number) < vocabulary))
      throw new InputError(
        `token ${ids[i]} is not in the model's vocabulary of ${vocabulary}; use the tokenizer that belongs to the model`,
      )
}
