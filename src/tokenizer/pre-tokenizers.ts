import { InputError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../formats/json-file.ts'

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const LLAMA3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const QWEN2 = LLAMA3.replace(String.raw`\p{N}{1,3}`, String.raw`\p{N}`)

const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
})
const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
})
const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers })

interface NamedPreTokenizer {
  /** Names in `tokenizer.ggml.pre`, the one to write first (llama.cpp: llama-vocab.cpp, convert_hf_to_gguf.py). */
  names: [string, ...string[]]
  normalizer: JsonObject | null
  preTokenizer: JsonObject
  /** Llama-3: a word that is a token is taken whole, whatever the merges say. */
  ignoreMerges: boolean
}

/** The pre-tokenizers of byte-level BPE by their GGUF names: the same split as llama.cpp's, written as tokenizer.json has it. */
export const NAMED_PRE_TOKENIZERS: readonly NamedPreTokenizer[] = [
  {
    names: ['smollm', 'starcoder', 'refact', 'codeshell'],
    normalizer: null,
    preTokenizer: sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)),
    ignoreMerges: false,
  },
  { names: ['gpt-2'], normalizer: null, preTokenizer: byteLevel(true), ignoreMerges: false },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3'],
    normalizer: null,
    preTokenizer: sequence(split(LLAMA3), byteLevel(false)),
    ignoreMerges: true,
  },
  {
    names: ['qwen2', 'deepseek-r1-qwen'],
    normalizer: { type: 'NFC' },
    preTokenizer: sequence(split(QWEN2), byteLevel(false)),
    ignoreMerges: false,
  },
]

/** The name under which GGUF knows a tokenizer.json's pre-tokenizer, or undefined where it knows none. */
export function ggufPreTokenizerName(preTokenizer: unknown): string | undefined {
  const wanted = signature(preTokenizer)
  return NAMED_PRE_TOKENIZERS.find((named) => signature(named.preTokenizer) === wanted)?.names[0]
}

/** What a pre-tokenizer does to a text, without the fields that only concern offsets or say a default. */
function signature(json: unknown): string {
  if (!isJsonObject(json)) return 'none'
  switch (json.type) {
    case 'Sequence': {
      const parts: unknown[] = Array.isArray(json.pretokenizers) ? json.pretokenizers : []
      return parts.map(signature).join(' then ')
    }
    case 'Digits':
      return `digits ${String(json.individual_digits === true)}`
    case 'ByteLevel':
      return `bytes ${String(json.use_regex !== false)} ${String(json.add_prefix_space === true)}`
    case 'Split':
      return `split ${JSON.stringify(json.pattern)} ${JSON.stringify(json.behavior)} ${String(json.invert === true)}`
    default:
      return JSON.stringify(json)
  }
}

/**
 * The pre-tokenizer as @huggingface/tokenizers has to be given it so that it splits as the Rust reference does. The library's
 * own Digits knows only ASCII digits (Rust: every numeric character) and its ByteLevel splits at JavaScript's idea of white
 * space; its Split translates patterns faithfully, so both are said as Splits. InputError names a kind that is not supported.
 */
export function exactPreTokenizer(json: unknown, where: string): JsonObject | null {
  if (json === null || json === undefined) return null
  const refuse = (what: string): never => {
    throw new InputError(
      `${where}: its pre-tokenizer ${what} is not supported; use a model with byte-level BPE (Llama 3, Qwen2, SmolLM2)`,
    )
  }
  if (!isJsonObject(json)) return refuse('is no object and')
  switch (json.type) {
    case 'Sequence': {
      const parts: unknown[] = Array.isArray(json.pretokenizers) ? json.pretokenizers : []
      return { type: 'Sequence', pretokenizers: parts.map((part) => exactPreTokenizer(part, where)) }
    }
    case 'Digits':
      return split(json.individual_digits === true ? String.raw`\p{N}` : String.raw`\p{N}+`)
    case 'ByteLevel':
      if (json.use_regex === false || json.add_prefix_space === true) return json
      return sequence(split(GPT2), byteLevel(false))
    case 'Split':
      if (json.behavior !== 'Isolated' && json.behavior !== 'Removed')
        return refuse(`Split with behavior ${JSON.stringify(json.behavior)}`)
      return json
    case 'Metaspace':
      if (json.split !== false) return refuse('Metaspace with split')
      return json
    default:
      return refuse(JSON.stringify(json.type))
  }
}
