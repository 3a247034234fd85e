import { InputError } from '../errors.ts'
import type { ModelConfig } from './config.ts'

type Json = Record<string, unknown>

/** Far above any model that exists; a larger size is a damaged or hostile file and would only exhaust memory. */
const MAX_SIZE = 2 ** 24

const FAMILIES = ['llama', 'qwen2'] as const

/**
 * Parses config.json (either spelling of the rope parameters) into what the graphs need. Whatever the graphs do not compute is
 * refused by name, never ignored. InputError begins with `where` and names the field. Defaults are those of transformers'
 * LlamaConfig and Qwen2Config.
 */
export function parseModelConfig(json: Json, where: string): ModelConfig {
  const refuse = (what: string): never => {
    throw new InputError(`${where}: ${what}`)
  }
  const unsupported = (field: string, value: unknown, supported: string): never =>
    refuse(`${field} is ${JSON.stringify(value)}, supported is ${supported}; choose another base model`)

  const family = FAMILIES.find((name) => name === json.model_type)
  if (!family)
    return refuse(
      `model_type is ${JSON.stringify(json.model_type ?? null)}, supported are ${FAMILIES.join(' and ')}; choose another base model`,
    )
  const size = (field: string, fallback?: number): number => {
    const value = json[field] ?? fallback
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MAX_SIZE)
      return refuse(
        `${field} is ${JSON.stringify(value ?? null)}, it must be a whole number from 1 to ${MAX_SIZE}; get config.json again`,
      )
    return value as number
  }
  const positive = (field: string, value: unknown): number =>
    typeof value === 'number' && value > 0 && Number.isFinite(value)
      ? value
      : refuse(`${field} is ${JSON.stringify(value)}, it must be a number above 0; get config.json again`)
  const flag = (field: string, fallback: boolean): boolean => {
    const value = json[field] ?? fallback
    return typeof value === 'boolean'
      ? value
      : refuse(`${field} is ${JSON.stringify(value)}, it must be true or false`)
  }

  if (json.quantization_config !== undefined && json.quantization_config !== null)
    refuse(
      'quantization_config says that the weights are quantised, which safetensors of plain weights are not; use the original model',
    )
  const activation = json.hidden_act ?? 'silu'
  if (activation !== 'silu') unsupported('hidden_act', activation, '"silu"')
  if (flag('mlp_bias', false)) unsupported('mlp_bias', true, 'false')
  if (flag('use_sliding_window', false)) unsupported('use_sliding_window', true, 'false')
  const layerTypes = json.layer_types ?? []
  if (!Array.isArray(layerTypes) || !layerTypes.every((type) => type === 'full_attention'))
    unsupported('layer_types', layerTypes, '"full_attention" for each layer')

  const hiddenSize = size('hidden_size')
  const heads = size('num_attention_heads')
  const kvHeads = size('num_key_value_heads', heads)
  if (heads % kvHeads !== 0)
    refuse(
      `num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}; get config.json again`,
    )
  const headDim = size('head_dim', hiddenSize / heads)
  if (headDim % 2 !== 0)
    refuse(`head_dim is ${headDim}, the rotary embedding needs an even number; choose another base model`)
  const bias = flag('attention_bias', false)
  const bosTokenId = tokenIds('bos_token_id', json.bos_token_id, refuse)[0]
  return {
    family,
    hiddenSize,
    intermediateSize: size('intermediate_size'),
    layers: size('num_hidden_layers'),
    heads,
    kvHeads,
    headDim,
    vocabularySize: size('vocab_size'),
    rmsNormEpsilon: positive('rms_norm_eps', json.rms_norm_eps ?? 1e-6),
    ropeTheta: positive('rope_theta', ropeTheta(json, unsupported)),
    maxPositions: size('max_position_embeddings', family === 'llama' ? 2048 : 32768),
    tiedEmbeddings: flag('tie_word_embeddings', false),
    attentionBias: family === 'qwen2' ? { qkv: true, output: false } : { qkv: bias, output: bias },
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
    eosTokenIds: tokenIds('eos_token_id', json.eos_token_id, refuse),
    json,
  }
}

/** transformers 5 writes `rope_parameters`, before it was `rope_theta` beside `rope_scaling`. */
function ropeTheta(
  json: Json,
  unsupported: (field: string, value: unknown, supported: string) => never,
): unknown {
  for (const field of ['rope_parameters', 'rope_scaling']) {
    const parameters = (json[field] ?? {}) as Json
    const type = parameters.rope_type ?? parameters.type ?? 'default'
    if (type !== 'default') unsupported(`${field}.rope_type`, type, '"default"')
    const factor = parameters.partial_rotary_factor ?? json.partial_rotary_factor ?? 1
    if (factor !== 1) unsupported('partial_rotary_factor', factor, '1')
  }
  return (json.rope_parameters as Json | null | undefined)?.rope_theta ?? json.rope_theta ?? 10000
}

function tokenIds(field: string, value: unknown, refuse: (what: string) => never): number[] {
  if (value === undefined || value === null) return []
  const ids: unknown[] = Array.isArray(value) ? value : [value]
  return ids.map((id) =>
    Number.isInteger(id) && (id as number) >= 0
      ? (id as number)
      : refuse(
          `${field} is ${JSON.stringify(value)}, it must be a token id or a list of ids; get config.json again`,
        ),
  )
}
