import { InputError } from '../errors.ts'
import { bfloat16ToFloat32, halfToNumber } from '../formats/numbers.ts'
import type { ModelConfig } from './config.ts'
import { layerWeightName } from './layer-weight-name.ts'
import { headFormatBeside, storeLinear, type LinearFormat, type StoredTensor } from './linear-format.ts'
import { PROJECTIONS, projectionInfo, projectionPath } from './projections.ts'
import { readBfloat16 } from './read-bfloat16.ts'
import { readHalf } from './read-half.ts'
import { smoothedSides, type LayerSmoothing } from './smoothing.ts'
import type { WeightSource } from './weights.ts'

export interface FrozenTensor extends StoredTensor {
  type: 'float32'
  data: Float32Array
}

/** [vocabulary, hidden], in memory in float32, in 16 bits or in 8. */
export type VocabularyMatrix =
  FrozenTensor | (StoredTensor & { type: 'float16' | 'bfloat16'; data: Uint16Array }) | EightBitVocabulary

/** Whole numbers with a factor for each row (linear-format.ts). */
type EightBitVocabulary = StoredTensor & {
  type: 'int8'
  data: Int8Array
  factors: Float32Array
  format: 'int8' | 'w8a16'
}

/** A base model's weights in memory: the layers' matrices in some format, the vocabulary's in 32 or 16 bits, the rest float32. */
export interface FrozenWeights {
  embedding: Embedding
  /** The layers' matrices. */
  linear: LinearFormat
  /** By the names of buildLayer's inputs: input_norm, q_proj, q_proj.bias, … */
  layers: ReadonlyMap<string, StoredTensor>[]
  finalNorm: FrozenTensor
  /** The embedding itself where they are tied. */
  head: VocabularyMatrix
}

/** Left in the file, of which a batch needs but a few rows; in memory where it is there anyway, as the head. */
export type Embedding = { at: 'memory'; matrix: VocabularyMatrix } | { at: 'file'; source: WeightSource }

export const EMBEDDING = 'model.embed_tokens.weight'
export const FINAL_NORM = 'model.norm.weight'
/** Where it is not the embedding. */
export const OUTPUT_HEAD = 'lm_head.weight'

export interface FrozenOptions {
  linear: LinearFormat
  /** The embedding must be in memory. */
  wholeEmbedding: boolean
  /** Of each layer: for `w8a8`, and only for it. */
  smoothing?: readonly LayerSmoothing[]
}

/** One layer's weights by the names of buildLayer's inputs. InputError names a tensor that is missing or has another shape. */
export function layerWeights(
  config: ModelConfig,
  source: WeightSource,
  layer: number,
  linear: LinearFormat,
  smoothing?: LayerSmoothing,
): Map<string, StoredTensor> {
  const read = reader(source)
  const weights = new Map<string, StoredTensor>()
  const norm = (input: string, size: number) =>
    weights.set(input, read(layerWeightName(config, layer, input) as string, [size]))
  for (const name of ['input_norm', 'post_norm']) norm(name, config.hiddenSize)
  if (config.queryKeyNorm) for (const name of ['q_norm', 'k_norm']) norm(name, config.headDim)
  for (const projection of PROJECTIONS) {
    const info = projectionInfo(config, projection)
    const path = projectionPath(config, layer, projection)
    checkShape(source, `${path}.weight`, [info.out, info.in])
    const sides = smoothing && smoothedSides(config, smoothing, projection)
    const stored = storeLinear(projection, source, `${path}.weight`, [info.out, info.in], linear, sides)
    for (const [name, values] of stored) weights.set(name, values)
    if (info.bias) {
      const bias = read(`${path}.bias`, [info.out])
      if (sides?.rows) divide(bias.data, sides.rows)
      weights.set(`${projection}.bias`, bias)
    }
  }
  if (smoothing) {
    divide((weights.get('input_norm') as FrozenTensor).data, smoothing.qkv)
    divide((weights.get('post_norm') as FrozenTensor).data, smoothing.mlp)
    for (const [name, data] of Object.entries(smoothing))
      weights.set(`${name}.smooth`, { type: 'float32', data, shape: [data.length] })
  }
  return weights
}

function checkShape(source: WeightSource, name: string, shape: readonly number[]): void {
  const found = source.infos.get(name)?.shape
  if (found && found.join() !== shape.join())
    throw new InputError(
      `${source.fileOf(name)}: the tensor ${name} has shape [${found.join(', ')}] but its config calls for [${shape.join(', ')}]; get config and weights of one model`,
    )
}

const reader =
  (source: WeightSource) =>
  (name: string, shape: readonly number[]): FrozenTensor => {
    checkShape(source, name, shape)
    return { type: 'float32', data: source.float32(name), shape }
  }

/** In place. */
function divide(values: Float32Array, by: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / (by[i] as number)
}

/**
 * Reads the weights, checked against the config: InputError names a tensor that is missing or has another shape. An embedding
 * that is not the head is read when it is needed: the source then must stay open. Nothing but a piece of a matrix is ever
 * float32 on its way to another format. Where the head is int8 the embedding stays in the file, tied to it or not.
 */
export function loadFrozenWeights(
  config: ModelConfig,
  source: WeightSource,
  { linear, wholeEmbedding, smoothing }: FrozenOptions,
): FrozenWeights {
  const { hiddenSize, vocabularySize } = config
  const read = reader(source)
  const vocabularyMatrix = (name: string): VocabularyMatrix => {
    const shape = [vocabularySize, hiddenSize] as const
    checkShape(source, name, shape)
    const format = headFormatBeside(linear)
    switch (format) {
      case 'float32':
        return read(name, shape)
      case 'float16':
        return { type: format, data: readHalf(source, name), shape }
      case 'bfloat16':
        return { type: format, data: readBfloat16(source, name), shape }
      case 'int8':
      case 'w8a16':
        return eightBits(source, name, shape, format)
    }
  }
  checkShape(source, EMBEDDING, [vocabularySize, hiddenSize])
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    layerWeights(config, source, layer, linear, smoothing?.[layer]),
  )
  const head = vocabularyMatrix(config.tiedEmbeddings ? EMBEDDING : OUTPUT_HEAD)
  return {
    embedding: embeddingOf(),
    linear,
    layers,
    finalNorm: read(FINAL_NORM, [hiddenSize]),
    head,
  }

  function embeddingOf(): Embedding {
    if (config.tiedEmbeddings && head.type !== 'int8') return { at: 'memory', matrix: head }
    return wholeEmbedding ? { at: 'memory', matrix: vocabularyMatrix(EMBEDDING) } : { at: 'file', source }
  }
}

function eightBits(
  source: WeightSource,
  name: string,
  shape: readonly [number, number],
  format: EightBitVocabulary['format'],
): EightBitVocabulary {
  const stored = new Map(storeLinear(name, source, name, shape, format))
  const [whole, factors] = [stored.get(name), stored.get(`${name}.factors`)]
  return {
    type: 'int8',
    data: whole?.data as Int8Array,
    shape,
    factors: factors?.data as Float32Array,
    format,
  }
}

/** The embedding's rows of the given tokens, [tokens, hidden]. InputError where a token is not in the vocabulary. */
export function embed(
  { vocabularySize, hiddenSize }: ModelConfig,
  embedding: Embedding,
  ids: ArrayLike<number>,
): Float32Array {
  checkTokens(ids, vocabularySize)
  if (embedding.at === 'memory') return vocabularyRows(embedding.matrix, ids)
  const rows = new Float32Array(ids.length * hiddenSize)
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number
    rows.set(embedding.source.rows(EMBEDDING, id, id + 1), i * hiddenSize)
  }
  return rows
}

/** The rows of these tokens as float32, [ids, hidden]. */
export function vocabularyRows(matrix: VocabularyMatrix, ids: ArrayLike<number>): Float32Array {
  const width = matrix.shape[1] as number
  const rows = new Float32Array(ids.length * width)
  for (let i = 0; i < ids.length; i++) {
    const start = (ids[i] as number) * width
    switch (matrix.type) {
      case 'float32':
        rows.set(matrix.data.subarray(start, start + width), i * width)
        break
      case 'float16':
        for (let j = 0; j < width; j++) rows[i * width + j] = halfToNumber(matrix.data[start + j] as number)
        break
      case 'bfloat16':
        rows.set(bfloat16ToFloat32(matrix.data.subarray(start, start + width)), i * width)
        break
      case 'int8': {
        const factor = matrix.factors[ids[i] as number] as number
        for (let j = 0; j < width; j++) rows[i * width + j] = factor * (matrix.data[start + j] as number)
      }
    }
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
