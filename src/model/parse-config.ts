import { InputError } from '../errors.ts'
import type { Llama3RopeScaling, ModelConfig } from './config.ts'

type Json = Record<string, unknown>

const FAMILIES = {
  LlamaForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
} as const
const SUPPORTED_ARCHITECTURES = Object.keys(FAMILIES).join(', ')

/**
 * No published model is near these; a config beyond them is a mistake or an attempt to make the trainer allocate without
 * end (CWE-770).
 */
const MAX_WIDTH = 1 << 20
const MAX_LAYERS = 1024
const MAX_VOCABULARY = 1 << 24

/** What transformers' Qwen3Config takes where head_dim is not written. */
const QWEN3_HEAD_DIM = 128

/**
 * The checked ModelConfig of a config.json (`where` names the file). What would change the arithmetic and is not
 * implemented is refused: one InputError with all such fields, each with what is supported.
 */
export function parseModelConfig(json: Json, where: string, generation: Json = {}): ModelConfig {
  const problems: string[] = []
  const family = familyOf(json, where)

  const integer = (name: string, max: number, missing?: number): number => {
    const value = json[name] ?? missing
    if (Number.isInteger(value) && (value as number) > 0 && (value as number) <= max) return value as number
    problems.push(`${name} is ${show(json[name])}, but must be a whole number from 1 to ${max}`)
    return 1
  }
  const only = (name: string, supported: readonly unknown[], value = json[name]): void => {
    if (value !== undefined && value !== null && !supported.includes(value))
      problems.push(`${name} is ${show(value)}, but only ${supported.map(show).join(' or ')} is supported`)
  }

  const hiddenSize = integer('hidden_size', MAX_WIDTH)
  const heads = integer('num_attention_heads', MAX_WIDTH)
  const kvHeads = integer('num_key_value_heads', MAX_WIDTH, heads)
  const headDim = integer('head_dim', MAX_WIDTH, family === 'qwen3' ? QWEN3_HEAD_DIM : hiddenSize / heads)
  if (heads % kvHeads !== 0)
    problems.push(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`)
  if (headDim % 2 !== 0) problems.push(`head_dim is ${headDim}, but must be even`)

  only('hidden_act', ['silu'])
  only('attention_dropout', [0])
  only('mlp_bias', [false])
  only('pretraining_tp', [1])
  only('partial_rotary_factor', [1])
  only('use_sliding_window', [false])
  only('use_mrope', [false])
  if (family === 'llama') only('sliding_window', [])
  for (const type of new Set(list(json.layer_types))) only('layer_types', ['full_attention'], type)
  if (isObject(json.quantization_config))
    problems.push(
      `quantization_config (${show(json.quantization_config.quant_method)}) is not supported; use the model's F32, F16 or BF16 weights or a .gguf file`,
    )

  const rope = isObject(json.rope_parameters) ? json.rope_parameters : {}
  const scaling = isObject(json.rope_scaling) ? json.rope_scaling : {}
  only('rope_parameters.rope_type', ['default', 'llama3'], rope.rope_type)
  only('rope_parameters.partial_rotary_factor', [1], rope.partial_rotary_factor)
  only('rope_scaling.rope_type', ['default', 'llama3'], scaling.rope_type ?? scaling.type)
  const ropeScaling = [rope, scaling].find((given) => (given.rope_type ?? given.type) === 'llama3')
  const ropeTheta = rope.rope_theta ?? json.rope_theta ?? 10_000
  if (!isPositive(ropeTheta)) problems.push(`rope_theta is ${show(ropeTheta)}, but must be a number above 0`)
  const rmsNormEpsilon = json.rms_norm_eps ?? 1e-6
  if (!isPositive(rmsNormEpsilon))
    problems.push(`rms_norm_eps is ${show(rmsNormEpsilon)}, but must be a number above 0`)

  const llama3 = (given: Json): Llama3RopeScaling => {
    const above = (name: string, least: number): number => {
      const value = given[name]
      if (isPositive(value) && (value as number) > least) return value as number
      problems.push(
        `${name} of the llama3 rope scaling is ${show(value)}, but must be a number above ${least}`,
      )
      return least + 1
    }
    const lowFrequencyFactor = above('low_freq_factor', 0)
    return {
      factor: above('factor', 0),
      lowFrequencyFactor,
      highFrequencyFactor: above('high_freq_factor', lowFrequencyFactor),
      originalMaxPositions: above('original_max_position_embeddings', 0),
    }
  }

  const bosTokenId = tokenIds(json.bos_token_id)[0]
  const padTokenId = tokenIds(json.pad_token_id)[0]
  const config: ModelConfig = {
    family,
    hiddenSize,
    intermediateSize: integer('intermediate_size', MAX_WIDTH),
    layers: integer('num_hidden_layers', MAX_LAYERS),
    heads,
    kvHeads,
    headDim,
    vocabularySize: integer('vocab_size', MAX_VOCABULARY),
    rmsNormEpsilon: rmsNormEpsilon as number,
    ropeTheta: ropeTheta as number,
    ...(ropeScaling && { ropeScaling: llama3(ropeScaling) }),
    maxPositions: integer('max_position_embeddings', Number.MAX_SAFE_INTEGER, 2048),
    tiedEmbeddings: json.tie_word_embeddings === true,
    queryKeyNorm: family === 'qwen3',
    attentionBias: {
      qkv: family === 'qwen2' || json.attention_bias === true,
      output: family !== 'qwen2' && json.attention_bias === true,
    },
    ...(bosTokenId !== undefined && { bosTokenId }),
    ...(padTokenId !== undefined && { padTokenId }),
    eosTokenIds: [...new Set([...tokenIds(json.eos_token_id), ...tokenIds(generation.eos_token_id)])],
    json,
  }
  if (problems.length > 0) throw new InputError(`${where}: ${problems.join('; ')}`)
  return config
}

function familyOf(json: Json, where: string): ModelConfig['family'] {
  const [architecture] = list(json.architectures)
  for (const [name, family] of Object.entries(FAMILIES))
    if (architecture === undefined ? json.model_type === family : architecture === name) return family
  throw new InputError(
    `${where}: the architecture ${show(architecture ?? json.model_type)} is not supported; supported are ${SUPPORTED_ARCHITECTURES}`,
  )
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isPositive = (value: unknown): boolean =>
  typeof value === 'number' && Number.isFinite(value) && value > 0
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? 'missing'
const tokenIds = (value: unknown): number[] =>
  (Array.isArray(value) ? value : [value]).filter(
    (id): id is number => Number.isInteger(id) && (id as number) >= 0,
  )
