import { InputError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../formats/json-file.ts'
import type { AddedToken } from './added-tokens.ts'
import { exactPreTokenizer } from './pre-tokenizers.ts'

/** Vocabularies end at a quarter million; ids far beyond would only make arrays without end (CWE-789). */
const MAX_TOKEN_ID = 4_000_000

/** tokenizer.json, checked: what Temper itself needs of it, and the object that @huggingface/tokenizers is built from. */
export interface TokenizerJson {
  addedTokens: AddedToken[]
  /** What a Prepend normaliser puts in front of a text, '' where there is none. */
  prepended: string
  /** Pieces are bytes, each written as a letter (GPT-2's byte-level alphabet). Else SentencePiece's letters and <0xNN>. */
  byteLevel: boolean
  largestId: number
  /** Whether the model itself, without the added tokens, has this piece. */
  hasPiece: (piece: string) => boolean
  /** The special tokens that the post-processor puts in front of a single text. */
  leading: string[]
  library: JsonObject
}

/** InputError names `where` (the file) and the field that is wrong or not supported. */
export function parseTokenizerJson(json: JsonObject, where: string): TokenizerJson {
  const refuse = (what: string): never => {
    throw new InputError(`${where}: ${what}`)
  }
  const model = json.model
  if (!isJsonObject(model)) return refuse('has no model; get the file again, it is no tokenizer.json')
  // Old files leave the type out where merges say it.
  const type = model.type ?? (Array.isArray(model.merges) ? 'BPE' : undefined)
  if (type !== 'BPE')
    return refuse(
      `its model is ${JSON.stringify(type)}, supported is BPE; use a Llama or Qwen2 model's own tokenizer`,
    )
  if (!isJsonObject(model.vocab) || !Array.isArray(model.merges))
    return refuse('its model has no vocab and merges; get the file again')
  if (!model.merges.every(isMerge))
    return refuse('its model.merges holds something else than pairs of tokens; get the file again')
  const vocabulary = model.vocab
  let largestId = -1
  for (const [token, id] of Object.entries(model.vocab)) {
    if (!isTokenId(id))
      return refuse(`the token ${JSON.stringify(token)} has no valid id; get the file again`)
    largestId = Math.max(largestId, id)
  }
  const addedTokens = (Array.isArray(json.added_tokens) ? json.added_tokens : []).map(
    (entry, i) =>
      addedToken(entry) ?? refuse(`added_tokens[${i}] has no valid id and content; get the file again`),
  )
  for (const { id } of addedTokens) largestId = Math.max(largestId, id)
  if (largestId < 0) return refuse('has no tokens; get the file again')

  const library = {
    ...json,
    model: { ...model, type },
    added_tokens: json.added_tokens ?? [],
    normalizer: json.normalizer ?? null,
    pre_tokenizer: exactPreTokenizer(json.pre_tokenizer, where),
    post_processor: null, // nothing is ever added in front or behind; `leading` says what the model expects
    decoder: json.decoder ?? null,
  }
  return {
    addedTokens,
    prepended: prependedBy(json.normalizer ?? null, refuse),
    byteLevel: JSON.stringify(json.pre_tokenizer ?? null).includes('"ByteLevel"'),
    largestId,
    hasPiece: (piece) => Object.hasOwn(vocabulary, piece),
    leading: leadingTokens(json.post_processor),
    library,
  }
}

function isMerge(merge: unknown): boolean {
  return (
    typeof merge === 'string' ||
    (Array.isArray(merge) && merge.length === 2 && merge.every((m) => typeof m === 'string'))
  )
}

function isTokenId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) <= MAX_TOKEN_ID
}

function addedToken(entry: unknown): AddedToken | undefined {
  if (
    !isJsonObject(entry) ||
    typeof entry.content !== 'string' ||
    entry.content === '' ||
    !isTokenId(entry.id)
  )
    return undefined
  const special = entry.special === true
  return {
    id: entry.id,
    content: entry.content,
    lstrip: entry.lstrip === true,
    rstrip: entry.rstrip === true,
    singleWord: entry.single_word === true,
    normalized: typeof entry.normalized === 'boolean' ? entry.normalized : !special,
    special,
  }
}

/** Supported normalisers: the Unicode forms, Replace, and Prepend, alone or in sequence. */
function prependedBy(normalizer: unknown, refuse: (what: string) => never): string {
  if (normalizer === null) return ''
  if (!isJsonObject(normalizer)) return refuse('its normalizer is no object; get the file again')
  switch (normalizer.type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
    case 'Replace':
      return ''
    case 'Prepend':
      return typeof normalizer.prepend === 'string' ? normalizer.prepend : ''
    case 'Sequence': {
      const parts: unknown[] = Array.isArray(normalizer.normalizers) ? normalizer.normalizers : []
      return parts.map((part) => prependedBy(part, refuse)).join('')
    }
    default:
      return refuse(
        `its normalizer ${JSON.stringify(normalizer.type)} is not supported; use a Llama or Qwen2 model's own tokenizer`,
      )
  }
}

function leadingTokens(processor: unknown): string[] {
  if (!isJsonObject(processor)) return []
  if (processor.type === 'Sequence') {
    const parts: unknown[] = Array.isArray(processor.processors) ? processor.processors : []
    return parts.flatMap(leadingTokens)
  }
  if (processor.type !== 'TemplateProcessing' || !Array.isArray(processor.single)) return []
  const tokens: string[] = []
  for (const item of processor.single as unknown[]) {
    const special = isJsonObject(item) ? item.SpecialToken : undefined
    if (!isJsonObject(special) || typeof special.id !== 'string') break
    tokens.push(special.id)
  }
  return tokens
}
