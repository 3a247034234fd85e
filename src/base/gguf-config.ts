import { InputError } from '../errors.ts'
import type { GgufFile } from '../formats/gguf-reader.ts'
import type { JsonObject } from '../formats/json-file.ts'
import { ropeDivisors } from '../model/rope.ts'

const CLASSES: Record<string, string> = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
}

/** By what each frequency of the rotary embedding is divided (llama.cpp: convert_hf_to_gguf.py, LlamaModel). */
export const ROPE_FREQUENCIES = 'rope_freqs.weight'

/** The file's float32, computed by another program in float32. */
const DIVISOR_TOLERANCE = 1e-4

/**
 * The config.json that a GGUF's metadata stands for, and its generation_config.json.
 * InputError names the key that is missing or not supported.
 */
export function ggufConfig(file: GgufFile): { config: JsonObject; generationConfig: JsonObject } {
  const { path, metadata } = file
  const refuse = (what: string): never => {
    throw new InputError(`${path}: ${what}`)
  }
  const number = (key: string): number | undefined => {
    const entry = metadata.get(key)
    if (entry === undefined || typeof entry.value !== 'number') return undefined
    return entry.type === 'FLOAT32' ? shortest(entry.value) : entry.value
  }
  const required = (key: string): number =>
    number(key) ?? refuse(`has no ${key}; use a GGUF made by llama.cpp's converter`)

  const type = metadata.get('general.type')?.value ?? 'model'
  if (type !== 'model')
    refuse(`is a GGUF of type ${JSON.stringify(type)}, not a model; name the base model's file`)
  const architecture = String(metadata.get('general.architecture')?.value ?? '')
  const modelClass = CLASSES[architecture]
  if (modelClass === undefined)
    refuse(
      `its architecture is ${JSON.stringify(architecture)}, supported are ${Object.keys(CLASSES).join(', ')}; choose another base model`,
    )
  const key = (name: string) => `${architecture}.${name}`
  if ((number(key('expert_count')) ?? 0) > 0)
    refuse('is a mixture of experts, which is not supported; choose a dense model')
  if ((number(key('rope.scaling.factor')) ?? 0) > 1)
    refuse('scales its rotary embedding in a way that is not supported; choose another base model')

  const heads = required(key('attention.head_count'))
  const hidden = required(key('embedding_length'))
  const headDim = number(key('attention.key_length')) ?? number(key('rope.dimension_count')) ?? hidden / heads
  const ropeTheta = number(key('rope.freq_base')) ?? 10000 // ggml's own default
  const scaling = file.infos.has(ROPE_FREQUENCIES)
    ? (llama3Scaling(file.float32(ROPE_FREQUENCIES), ropeTheta, headDim) ??
      refuse(`its ${ROPE_FREQUENCIES} are not those of Llama 3.1's scaling; choose another base model`))
    : undefined
  const vocabulary = file.infos.get('token_embd.weight')?.shape[0]
  const tokens = {
    ...tokenId('bos', number('tokenizer.ggml.bos_token_id')),
    ...tokenId('eos', number('tokenizer.ggml.eos_token_id'), number('tokenizer.ggml.eot_token_id')),
    ...tokenId('pad', number('tokenizer.ggml.padding_token_id')),
  }
  const config = {
    architectures: [modelClass],
    model_type: architecture,
    hidden_size: hidden,
    intermediate_size: required(key('feed_forward_length')),
    num_hidden_layers: required(key('block_count')),
    num_attention_heads: heads,
    num_key_value_heads: number(key('attention.head_count_kv')) ?? heads,
    head_dim: headDim,
    vocab_size: vocabulary ?? refuse('has no token_embd.weight; get the whole file again'),
    max_position_embeddings: required(key('context_length')),
    rms_norm_eps: required(key('attention.layer_norm_rms_epsilon')),
    rope_theta: ropeTheta,
    ...(scaling && { rope_scaling: scaling }),
    hidden_act: 'silu',
    tie_word_embeddings: !file.infos.has('output.weight'),
    ...(architecture === 'llama'
      ? { attention_bias: file.infos.has('blk.0.attn_q.bias'), mlp_bias: false }
      : { use_sliding_window: false }),
    ...(architecture === 'qwen3' && { attention_bias: file.infos.has('blk.0.attn_q.bias') }),
    ...tokens,
    torch_dtype: 'float32',
  }
  return { config, generationConfig: { _from_model_config: true, ...tokens } }
}

/**
 * The llama3 rope scaling that gives these divisors, or undefined. The file does not say the parameters; every published model has
 * low_freq_factor 1 and high_freq_factor 4, and a power of two as its first context length.
 */
function llama3Scaling(divisors: Float32Array, theta: number, headDim: number): JsonObject | undefined {
  const factor = shortest(divisors.at(-1) ?? 1)
  for (let original = 32; original <= 1 << 20; original *= 2) {
    const parameters = {
      factor,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalMaxPositions: original,
    }
    const wanted = ropeDivisors(theta, headDim, parameters)
    const same = wanted.every((value, i) => Math.abs(value - (divisors[i] ?? 0)) <= DIVISOR_TOLERANCE * value)
    if (same && wanted.length === divisors.length)
      return {
        rope_type: 'llama3',
        factor,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: original,
      }
  }
  return undefined
}

function tokenId(name: string, ...ids: (number | undefined)[]): JsonObject {
  const known = [...new Set(ids.filter((id) => id !== undefined))]
  return known.length === 0 ? {} : { [`${name}_token_id`]: known.length === 1 ? known[0] : known }
}

/** The shortest decimal that is this float32: 1e-5, where the file's float32 reads as 0.000009999999747378752. */
function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}
