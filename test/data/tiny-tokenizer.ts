import { createTokenizer } from '../../src/tokenizer/create-tokenizer.ts'
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts'

export interface TinyTokenizerOptions {
  /** In the order of their ids, from 300 on. */
  special?: string[]
  eos: string
  bos?: string
  /** Put BOS in front of each text, as Llama's tokenizer does. */
  addsBos?: boolean
  chatTemplate?: string
}

/**
 * A real byte-level BPE tokenizer with next to no merges: a token is a byte, but for a few pairs, among them two line feeds
 * and " a", so that tokens that reach over a boundary are there too.
 */
export function tinyTokenizer({
  special = [],
  eos,
  bos,
  addsBos,
  chatTemplate,
}: TinyTokenizerOptions): Tokenizer {
  const letters = byteLetters()
  const vocab: Record<string, number> = Object.fromEntries(letters.map((letter, byte) => [letter, byte]))
  const merges: [string, string][] = [
    ['Ċ', 'Ċ'],
    ['Ġ', 'a'],
    ['l', 'l'],
    ['h', 'e'],
    ['he', 'll'],
  ]
  for (const [left, right] of merges) vocab[left + right] = Object.keys(vocab).length
  const added = [...new Set([...special, eos, ...(bos === undefined ? [] : [bos])])].map(
    (content, index) => ({
      id: 300 + index,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }),
  )
  const bosId = added.find((token) => token.content === bos)?.id ?? 0
  return createTokenizer({
    where: 'tiny tokenizer',
    tokenizer: {
      version: '1.0',
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: addsBos
        ? {
            type: 'TemplateProcessing',
            single: [{ SpecialToken: { id: bos, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
            pair: [],
            special_tokens: { [bos ?? '']: { id: bos, ids: [bosId], tokens: [bos] } },
          }
        : null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: { type: 'BPE', vocab, merges },
    },
    tokenizerConfig: {
      eos_token: eos,
      ...(bos !== undefined && { bos_token: bos }),
      ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
    },
  })
}

/** GPT-2's alphabet: a letter for each byte, printable ones as themselves. */
function byteLetters(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
    return String.fromCharCode(isPrintable ? byte : next++)
  })
}
