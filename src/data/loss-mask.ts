import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { RenderedRow } from './assistant-spans.ts'
import type { EndOfTurn } from './end-of-turn.ts'

export interface MaskedRow {
  ids: number[]
  /** As long as `ids`; 1 where the token is one to learn. */
  mask: number[]
  /** Indices of the end-of-turn tokens among those to learn. */
  endsOfTurn: number[]
}

export interface MaskOptions {
  tokenizer: Tokenizer
  endOfTurn: EndOfTurn
  special: ReadonlySet<number>
  /** False: every token is one to learn. */
  completionOnlyLoss: boolean
}

/**
 * A rendered row's tokens, and which of them the loss counts: those that begin in an answer, and what the template writes from
 * there to the end-of-turn token, it included. (A token that begins in the context belongs to it, as in TRL, which counts the
 * prompt's tokens; what follows the end of turn is never generated, so it is not learnt.)
 */
export function maskRow({ text, spans }: RenderedRow, options: MaskOptions): MaskedRow {
  const { tokenizer, endOfTurn, special, completionOnlyLoss } = options
  const { ids, offsets } = encodeOnce(tokenizer, text)
  const mask = ids.map(() => 0)
  const endsOfTurn: number[] = []
  for (const { start, end, answerEnd, isLast } of spans) {
    let learnt = end
    if (!endOfTurn.appended) {
      const next = ids.findIndex((id, at) => (offsets[at]?.[0] ?? 0) >= answerEnd && special.has(id))
      if (ids[next] === endOfTurn.id) {
        learnt = Math.max(learnt, offsets[next]?.[1] ?? 0)
        endsOfTurn.push(next)
      }
    } else if (isLast) {
      // Blanks behind the answer would stand between it and its end, where the model never writes them.
      learnt = text.trimEnd().length
      const kept = offsets.filter(([from]) => from < learnt).length
      for (const list of [ids, offsets, mask]) list.length = kept
    }
    for (const [index, [from]] of offsets.entries()) if (from >= start && from < learnt) mask[index] = 1
  }
  if (endOfTurn.appended && spans.some((span) => span.isLast)) {
    endsOfTurn.push(ids.length)
    ids.push(endOfTurn.id)
    mask.push(1)
  }
  if (!completionOnlyLoss) mask.fill(1)
  // Nothing comes before the first token that it could be foretold from; in a packed batch another row would.
  if (mask.length > 0) mask[0] = 0
  return { ids, mask, endsOfTurn }
}

/** Tokens of a text with BOS once where it is written more than once (a template and a row may both have it). */
export function encodeOnce(
  tokenizer: Tokenizer,
  text: string,
): { ids: number[]; offsets: [number, number][] } {
  const { ids, offsets } = tokenizer.encodeWithOffsets(text)
  while (tokenizer.bos && ids[0] === tokenizer.bos.id && ids[1] === tokenizer.bos.id) {
    ids.shift()
    offsets.shift()
  }
  return { ids, offsets }
}
