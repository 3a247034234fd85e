import { Tokenizer as Library } from '@huggingface/tokenizers'
import { InputError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../formats/json-file.ts'
import { addedTokenSplitter } from './added-tokens.ts'
import { alignNormalized, byteMap } from './offsets.ts'
import { parseTokenizerJson } from './tokenizer-json.ts'
import type { Tokenizer } from './tokenizer.ts'

export interface TokenizerSource {
  /** tokenizer.json and tokenizer_config.json as objects. */
  tokenizer: JsonObject
  tokenizerConfig: JsonObject
  /** The file that errors name. */
  where: string
  /** The end-of-sequence token's id where tokenizer_config.json names none (config.json's). */
  eosTokenId?: number
}

/** One token with the range of the text that it covers. */
interface Piece {
  id: number
  start: number
  end: number
}

/** InputError names `where` and what of it is damaged or not supported. */
export function createTokenizer({
  tokenizer,
  tokenizerConfig,
  where,
  eosTokenId,
}: TokenizerSource): Tokenizer {
  const parsed = parseTokenizerJson(tokenizer, where)
  let library: Library
  try {
    library = new Library(parsed.library, tokenizerConfig)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new InputError(
      `${where}: cannot be used as a tokenizer (${why}); use the model's own tokenizer.json`,
      { cause },
    )
  }
  const { normalizer, pre_tokenizer: preTokenizer, model } = library
  if (!model) throw new InputError(`${where}: has no model; get the file again`)
  // The library counts added tokens among the model's own; the reference looks a word up in the model's vocabulary only
  // (ignore_merges), so that an added token is never found where its conditions forbid it.
  const addedIds = new Map(parsed.addedTokens.map(({ content, id }) => [content, id]))
  for (const content of addedIds.keys()) if (!parsed.hasPiece(content)) model.tokens_to_ids.delete(content)
  const normalize = (text: string): string => (normalizer ? normalizer(text) : text)
  const splitWritten = addedTokenSplitter(parsed.addedTokens.filter((token) => !token.normalized))
  const splitNormalized = addedTokenSplitter(
    parsed.addedTokens
      .filter((token) => token.normalized)
      .map((token) => ({ ...token, content: normalize(token.content) })),
  )

  /** Plain text, normalised: its words, each word's tokens, each token's bytes. Offsets count within `text`. */
  const encodePlain = (text: string, sectionIndex: number): Piece[] => {
    const words: string[] = preTokenizer ? preTokenizer(text, { section_index: sectionIndex }) : [text]
    const wordBytes = words.map((word) => (parsed.byteLevel ? word.length : Buffer.byteLength(word)))
    const map = byteMap(text)
    // SentencePiece writes a space as ▁: its words align by UTF-16 unit, one for one, instead of by byte.
    const spaced = !parsed.byteLevel && preTokenizer ? byteMap(words.join('')) : map
    const total = wordBytes.reduce((sum, n) => sum + n, 0)
    const lead = parsed.byteLevel ? total - map.length : words.join('').length - text.length
    if (lead < 0 || lead > 1)
      throw new InputError(
        `${where}: its pre-tokenizer drops or adds text, which is not supported; use the model's own tokenizer`,
      )

    /** The range of `text` that bytes [from, to) of the words come from. */
    const range = (from: number, to: number): { start: number; end: number } => {
      if (parsed.byteLevel) {
        const end = to - lead
        return end <= 0
          ? { start: 0, end: 0 }
          : {
              start: map.starts[Math.max(0, from - lead)] ?? text.length,
              end: map.ends[end - 1] ?? text.length,
            }
      }
      const start = (spaced.starts[from] ?? spaced.length) - lead
      const end = (spaced.ends[to - 1] ?? 0) - lead
      return { start: Math.max(0, start), end: Math.max(0, end) }
    }

    const pieces: Piece[] = []
    let from = 0
    for (const [i, word] of words.entries()) {
      const end = from + (wordBytes[i] ?? 0)
      const tokens: string[] = model([word])
      const lengths = tokens.map((token) => tokenBytes(token, parsed.byteLevel))
      // An unknown token or a letter that the vocabulary lacks: the word's tokens then cover the word.
      const exact = lengths.reduce((sum, n) => sum + n, 0) === end - from
      let at = from
      for (const [j, token] of tokens.entries()) {
        const id = model.tokens_to_ids.get(token)
        if (id === undefined) continue
        const next = at + (lengths[j] ?? 0)
        pieces.push({ id, ...(exact ? range(at, next) : range(from, end)) })
        at = next
      }
      from = end
    }
    return pieces
  }

  const encodePieces = (text: string): Piece[] =>
    splitWritten(text).flatMap((section, sectionIndex): Piece[] => {
      if (section.token) return [{ id: section.token.id, start: section.start, end: section.end }]
      const written = text.slice(section.start, section.end)
      const normalized = normalize(written)
      const alignment = alignNormalized(written, normalized, normalize, parsed.prepended)
      return splitNormalized(normalized).flatMap((part): Piece[] => {
        const pieces = part.token
          ? [{ id: part.token.id, start: 0, end: part.end - part.start }]
          : encodePlain(normalized.slice(part.start, part.end), sectionIndex)
        return pieces.map(({ id, start, end }) => ({
          id,
          start: section.start + alignment.start(part.start + start),
          end: section.start + alignment.end(part.start + end),
        }))
      })
    })

  const idOf = (token: string): number | undefined => addedIds.get(token) ?? model.tokens_to_ids.get(token)
  const named = (field: string): { token: string; id: number } | undefined => {
    const entry = tokenizerConfig[field]
    const token = isJsonObject(entry) ? entry.content : entry
    if (typeof token !== 'string') return undefined
    const id = idOf(token)
    return id === undefined ? undefined : { token, id }
  }
  const bos = named('bos_token')
  const pad = named('pad_token')
  const eosById = eosTokenId === undefined ? undefined : library.id_to_token(eosTokenId)
  const eos =
    named('eos_token') ?? (eosById === undefined ? undefined : { token: eosById, id: eosTokenId ?? 0 })
  if (!eos)
    throw new InputError(
      `${where}: no eos_token is named in tokenizer_config.json; add the token that ends an answer there`,
    )
  const chatTemplate = chatTemplateOf(tokenizerConfig)
  const leads = bos !== undefined && parsed.leading.includes(bos.token)

  return {
    encode: (text) => encodePieces(text).map(({ id }) => id),
    encodeWithOffsets(text) {
      const pieces = encodePieces(text)
      return {
        ids: pieces.map(({ id }) => id),
        offsets: pieces.map(({ start, end }): [number, number] => [start, end]),
      }
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      // Beyond the vocabulary lie the embedding's padding rows, which no text has; the reference skips them too.
      const known = ids.filter((id) => library.id_to_token(id) !== undefined)
      if (known.length === 0) return ''
      return library.decode(known, {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: false,
      })
    },
    idOf,
    vocabularySize: parsed.largestId + 1,
    ...(bos ? { bos } : {}),
    eos,
    ...(pad ? { pad } : {}),
    addsBos:
      typeof tokenizerConfig.add_bos_token === 'boolean'
        ? tokenizerConfig.add_bos_token && bos !== undefined
        : leads,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    files: { tokenizer, tokenizerConfig },
  }
}

/** How many bytes of the words a token stands for. */
function tokenBytes(token: string, byteLevel: boolean): number {
  if (byteLevel) return token.length
  return /^<0x[0-9A-F]{2}>$/.test(token) ? 1 : Buffer.byteLength(token)
}

/** One template, or the one named `default` of several. */
function chatTemplateOf(tokenizerConfig: JsonObject): string | undefined {
  const { chat_template: entry } = tokenizerConfig
  if (typeof entry === 'string') return entry
  if (!Array.isArray(entry)) return undefined
  for (const item of entry as unknown[])
    if (isJsonObject(item) && item.name === 'default' && typeof item.template === 'string')
      return item.template
  return undefined
}
