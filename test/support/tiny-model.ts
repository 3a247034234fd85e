import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '../../src/formats/safetensors.ts'

/** Sizes of the tiny model: small enough for milliseconds a step, with grouped heads and a tied head as real ones have. */
const hidden = 32
const intermediate = 64
const layers = 2
const heads = 4
const kvHeads = 2
const headDim = hidden / heads
const specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
const initializerRange = 0.2

const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/**
 * Writes a Llama of 2 layers with random weights from `seed` and a tokenizer whose every token is a byte: a whole model folder
 * as Hugging Face lays it out, made in milliseconds, so that no test needs a download. It takes rows of so many `positions`.
 */
export async function writeTinyModel(folder: string, seed = 1, positions = 256): Promise<void> {
  await mkdir(folder, { recursive: true })
  const vocabulary = byteVocabulary()
  const size = Object.keys(vocabulary).length
  const random = randomNormal(seed)
  const tensor = (name: string, shape: number[], isNorm = false) => ({
    name,
    type: 'F32' as const,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () =>
      isNorm ? 1 + 0.1 * random() : initializerRange * random(),
    ),
  })
  const tensors = [tensor('model.embed_tokens.weight', [size, hidden])]
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`
    tensors.push(
      tensor(`${at}.input_layernorm.weight`, [hidden], true),
      tensor(`${at}.self_attn.q_proj.weight`, [heads * headDim, hidden]),
      tensor(`${at}.self_attn.k_proj.weight`, [kvHeads * headDim, hidden]),
      tensor(`${at}.self_attn.v_proj.weight`, [kvHeads * headDim, hidden]),
      tensor(`${at}.self_attn.o_proj.weight`, [hidden, heads * headDim]),
      tensor(`${at}.post_attention_layernorm.weight`, [hidden], true),
      tensor(`${at}.mlp.gate_proj.weight`, [intermediate, hidden]),
      tensor(`${at}.mlp.up_proj.weight`, [intermediate, hidden]),
      tensor(`${at}.mlp.down_proj.weight`, [hidden, intermediate]),
    )
  }
  tensors.push(tensor('model.norm.weight', [hidden], true))
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' })
  const endOfText = vocabulary['<|endoftext|>']
  const endOfTurn = vocabulary['<|im_end|>']
  await write(folder, 'config.json', {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: size,
    max_position_embeddings: positions,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    torch_dtype: 'float32',
    bos_token_id: endOfText,
    eos_token_id: endOfTurn,
  })
  await write(folder, 'generation_config.json', { eos_token_id: endOfTurn })
  await write(folder, 'tokenizer.json', {
    version: '1.0',
    added_tokens: specials.map((content) => ({
      id: vocabulary[content],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab: vocabulary, merges: [] },
  })
  await write(folder, 'tokenizer_config.json', {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: '<|endoftext|>',
    eos_token: '<|im_end|>',
    pad_token: '<|endoftext|>',
    chat_template: chatTemplate,
  })
}

function write(folder: string, name: string, content: object): Promise<void> {
  return writeFile(join(folder, name), JSON.stringify(content, null, 2))
}

/** GPT-2's byte alphabet: printable bytes stand for themselves, the others for characters from U+0100 on; then the special tokens. */
function byteVocabulary(): Record<string, number> {
  const vocabulary: Record<string, number> = {}
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    vocabulary[String.fromCodePoint(isPrintable ? byte : next++)] = byte
  }
  for (const [index, special] of specials.entries()) vocabulary[special] = 256 + index
  return vocabulary
}

/** Box-Muller over mulberry32. */
function randomNormal(seed: number): () => number {
  let state = seed >>> 0
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32
  }
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}
