import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { RenderedRow } from './assistant-spans.ts'

/** The token that ends an answer, and so a generation. */
export interface EndOfTurn {
  id: number
  token: string
  /** True where the template writes none: it is then put behind the last answer. */
  appended: boolean
}

/**
 * What the template writes behind an answer, seen on an example row that ends with one: the first special token there. It need
 * not be the tokenizer's end of sequence (Qwen's base models name <|endoftext|>, their template writes <|im_end|>). Where the
 * template writes none, the end-of-sequence token is appended, or the model would never learn to stop.
 */
export function endOfTurnOf(example: RenderedRow, tokenizer: Tokenizer): EndOfTurn {
  const special = specialTokenIds(tokenizer)
  const { ids, offsets } = tokenizer.encodeWithOffsets(example.text)
  const answerEnd = example.spans.at(-1)?.answerEnd ?? 0
  const index = ids.findIndex((id, at) => (offsets[at]?.[0] ?? 0) >= answerEnd && special.has(id))
  const [id, range] = [ids[index], offsets[index]]
  if (id === undefined || range === undefined) return { ...tokenizer.eos, appended: true }
  return { id, token: example.text.slice(...range), appended: false }
}

/** Tokens that no text means: those that tokenizer.json calls special, and the end of sequence. */
export function specialTokenIds({ files, eos }: Tokenizer): ReadonlySet<number> {
  const added = files.tokenizer['added_tokens']
  const ids = new Set([eos.id])
  if (!Array.isArray(added)) return ids
  for (const token of added as { id?: unknown; special?: unknown }[])
    if (token.special === true && typeof token.id === 'number') ids.add(token.id)
  return ids
}
