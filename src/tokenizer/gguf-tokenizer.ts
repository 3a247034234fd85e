import { InputError } from '../errors.ts'
import type { GgufMetadata, GgufScalarType } from '../formats/gguf-values.ts'
import type { JsonObject } from '../formats/json-file.ts'
import { createTokenizer } from './create-tokenizer.ts'
import { NAMED_PRE_TOKENIZERS } from './pre-tokenizers.ts'
import type { Tokenizer } from './tokenizer.ts'

/** `tokenizer.ggml.token_type` (llama.cpp: enum llama_token_type). */
export const GGUF_TOKEN_TYPE = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const

/**
 * The tokenizer inside a GGUF as tokenizer.json and tokenizer_config.json would say it: byte-level BPE ("gpt2") with the
 * pre-tokenizer that `tokenizer.ggml.pre` names. InputError names the file and the key that is missing or not supported.
 */
export function tokenizerFromGguf(metadata: GgufMetadata, path: string): Tokenizer {
  const refuse = (what: string): never => {
    throw new InputError(`${path}: ${what}; use a GGUF made by llama.cpp's converter, or the model's folder`)
  }
  const string = (key: string): string | undefined => {
    const entry = metadata.get(key)
    return entry?.type === 'STRING' ? entry.value : undefined
  }
  const array = <T>(key: string, of: GgufScalarType): T[] => {
    const entry = metadata.get(key)
    return entry?.type === 'ARRAY' && entry.of === of ? (entry.value as T[]) : refuse(`has no ${key}`)
  }
  const kind = string('tokenizer.ggml.model')
  if (kind !== 'gpt2')
    return refuse(
      `its tokenizer.ggml.model is ${JSON.stringify(kind ?? null)}, supported is "gpt2" (byte-level BPE)`,
    )
  const pre = string('tokenizer.ggml.pre') ?? refuse('has no tokenizer.ggml.pre')
  const named = NAMED_PRE_TOKENIZERS.find(({ names }) => names.includes(pre))
  if (!named) {
    const known = NAMED_PRE_TOKENIZERS.flatMap(({ names }) => names).join(', ')
    return refuse(`its tokenizer.ggml.pre is ${JSON.stringify(pre)}, supported are ${known}`)
  }
  const tokens = array<string>('tokenizer.ggml.tokens', 'STRING')
  const types = array<number>('tokenizer.ggml.token_type', 'INT32')
  const merges = array<string>('tokenizer.ggml.merges', 'STRING')
  if (types.length !== tokens.length) refuse(`has ${tokens.length} tokens but ${types.length} token types`)

  const vocabulary: [string, number][] = []
  const added: JsonObject[] = []
  for (const [id, token] of tokens.entries()) {
    const type = types[id]
    if (type === GGUF_TOKEN_TYPE.unused) continue // rows that only pad the embedding
    vocabulary.push([token, id])
    const special = type === GGUF_TOKEN_TYPE.control || type === GGUF_TOKEN_TYPE.unknown
    if (special || type === GGUF_TOKEN_TYPE.userDefined)
      added.push({
        id,
        content: token,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special,
      })
  }

  const special = (name: string): string | undefined => {
    const entry = metadata.get(`tokenizer.ggml.${name}_token_id`)
    if (entry?.type !== 'UINT32') return undefined
    return tokens[entry.value] ?? refuse(`tokenizer.ggml.${name}_token_id is beyond the vocabulary`)
  }
  const bos = special('bos')
  const addsBos = metadata.get('tokenizer.ggml.add_bos_token')?.value === true && bos !== undefined
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: named.normalizer,
    pre_tokenizer: named.preTokenizer,
    post_processor: addsBos
      ? { type: 'Sequence', processors: [bytes, bosTemplate(bos, tokens.indexOf(bos))] }
      : bytes,
    decoder: bytes,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: named.ignoreMerges,
      vocab: Object.fromEntries(vocabulary),
      merges: merges.map(
        (merge) => splitMerge(merge) ?? refuse(`tokenizer.ggml.merges holds ${JSON.stringify(merge)}`),
      ),
    },
  }
  const tokenizerConfig: JsonObject = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_bos_token: addsBos,
    clean_up_tokenization_spaces: false,
  }
  for (const [field, name] of [
    ['bos_token', 'bos'],
    ['eos_token', 'eos'],
    ['pad_token', 'padding'],
    ['unk_token', 'unknown'],
  ] as const) {
    const token = special(name)
    if (token !== undefined) tokenizerConfig[field] = token
  }
  const template = string('tokenizer.chat_template')
  if (template !== undefined) tokenizerConfig.chat_template = template
  return createTokenizer({ tokenizer, tokenizerConfig, where: path })
}

/** "Ġ t" → ["Ġ", "t"]; a token may itself hold no space, so there is exactly one. */
function splitMerge(merge: string): [string, string] | undefined {
  const at = merge.indexOf(' ')
  return at > 0 && at < merge.length - 1 ? [merge.slice(0, at), merge.slice(at + 1)] : undefined
}

function bosTemplate(token: string, id: number): JsonObject {
  const one = (sequence: string, typeId: number) => [
    { SpecialToken: { id: token, type_id: typeId } },
    { Sequence: { id: sequence, type_id: typeId } },
  ]
  return {
    type: 'TemplateProcessing',
    single: one('A', 0),
    pair: [...one('A', 0), ...one('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  }
}
