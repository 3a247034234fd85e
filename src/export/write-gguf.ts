import { ROPE_FREQUENCIES } from '../base/gguf-config.ts'
import { modelTensors, type ModelTensor } from '../base/model-tensors.ts'
import { NonFiniteError } from '../errors.ts'
import type { GgmlType } from '../formats/ggml-types.ts'
import type { GgufMetadata, GgufValue } from '../formats/gguf-values.ts'
import { writeGgufFile } from '../formats/gguf-writer.ts'
import { float32ToHalf } from '../formats/numbers.ts'
import { quantizeQ8 } from '../formats/quantize.ts'
import { toNeighbourPairs } from '../formats/rotary-rows.ts'
import type { ModelConfig } from '../model/config.ts'
import { ropeDivisors } from '../model/rope.ts'
import type { WeightSource } from '../model/weights.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { allFinite } from './all-finite.ts'
import type { Dialogue } from './dialogue.ts'
import { ggufTokenizerMetadata } from './gguf-tokenizer-metadata.ts'

/** llama.cpp: enum llama_ftype, "mostly" because norms and biases stay F32. */
const FILE_TYPE = { Q8_0: 7 } as const

/** GGML_QNT_VERSION; llama.cpp refuses a quantised file without it. */
const QUANTIZATION_VERSION = 2

export interface GgufModel {
  config: ModelConfig
  weights: WeightSource
  tokenizer: Tokenizer
  type: keyof typeof FILE_TYPE
  /** general.name */
  name: string
  dialogue?: Dialogue
}

/**
 * Writes a model as one GGUF that llama.cpp and Ollama load: metadata, tokenizer and chat template inside, matrices in Q8_0
 * (F16 where rows are no whole blocks), norms and biases F32, q and k rows in ggml's order for Llama, a tied head left out.
 * InputError: the tokenizer has no name in GGUF, or the disk is full. NonFiniteError: NaN.
 */
export async function writeGguf(path: string, model: GgufModel): Promise<void> {
  const { config, weights, tokenizer, type, dialogue = {} } = model
  const metadata: GgufMetadata = new Map([
    ...modelMetadata(config, model.name, type),
    ...ggufTokenizerMetadata(tokenizer, config.vocabularySize, dialogue),
  ])
  const tensors = modelTensors(config).map((tensor) => {
    const stored = storedType(tensor, type)
    const data = () => encode(weights.float32(tensor.name), stored, tensor, config)
    return { name: tensor.ggufName, type: stored, shape: tensor.shape, data }
  })
  await writeGgufFile(path, metadata, [...ropeFrequencies(config), ...tensors])
}

/** Llama 3.1's rope scaling is a tensor in GGUF; without it long texts would be read wrongly. */
function ropeFrequencies({ ropeTheta, headDim, ropeScaling }: ModelConfig) {
  if (!ropeScaling) return []
  const divisors = Float32Array.from(ropeDivisors(ropeTheta, headDim, ropeScaling))
  const data = () => new Uint8Array(divisors.buffer)
  return [{ name: ROPE_FREQUENCIES, type: 'F32' as const, shape: [divisors.length], data }]
}

function modelMetadata(config: ModelConfig, name: string, type: keyof typeof FILE_TYPE): GgufMetadata {
  const { family } = config
  const integer = (value: number): GgufValue => ({ type: 'UINT32', value })
  const float = (value: number): GgufValue => ({ type: 'FLOAT32', value })
  return new Map<string, GgufValue>([
    ['general.architecture', { type: 'STRING', value: family }],
    ['general.type', { type: 'STRING', value: 'model' }],
    ['general.name', { type: 'STRING', value: name }],
    ['general.file_type', integer(FILE_TYPE[type])],
    ['general.quantization_version', integer(QUANTIZATION_VERSION)],
    [`${family}.vocab_size`, integer(config.vocabularySize)],
    [`${family}.context_length`, integer(config.maxPositions)],
    [`${family}.embedding_length`, integer(config.hiddenSize)],
    [`${family}.block_count`, integer(config.layers)],
    [`${family}.feed_forward_length`, integer(config.intermediateSize)],
    [`${family}.attention.head_count`, integer(config.heads)],
    [`${family}.attention.head_count_kv`, integer(config.kvHeads)],
    [`${family}.attention.key_length`, integer(config.headDim)],
    [`${family}.attention.value_length`, integer(config.headDim)],
    [`${family}.attention.layer_norm_rms_epsilon`, float(config.rmsNormEpsilon)],
    [`${family}.rope.freq_base`, float(config.ropeTheta)],
    [`${family}.rope.dimension_count`, integer(config.headDim)],
  ])
}

function storedType({ shape }: ModelTensor, type: keyof typeof FILE_TYPE): GgmlType {
  if (shape.length < 2) return 'F32'
  return (shape.at(-1) ?? 0) % 32 === 0 ? type : 'F16' // llama-quantize falls back the same way
}

function encode(values: Float32Array, type: GgmlType, tensor: ModelTensor, config: ModelConfig): Uint8Array {
  if (!allFinite(values))
    throw new NonFiniteError(`the tensor ${tensor.name} is not finite: nothing is written`)
  const bytes =
    type === 'Q8_0'
      ? quantizeQ8(values)
      : new Uint8Array(type === 'F16' ? float32ToHalf(values).buffer : values.buffer)
  return config.family === 'llama' && tensor.rotaryHeads !== undefined
    ? toNeighbourPairs(bytes, tensor.rotaryHeads, config.headDim)
    : bytes
}
