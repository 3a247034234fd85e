/** One entry of tokenizer.json's `added_tokens`. */
export interface AddedToken {
  id: number
  content: string
  /** Takes the whitespace before, or behind it, along. */
  lstrip: boolean
  rstrip: boolean
  /** Only where no word character stands on either side. */
  singleWord: boolean
  /** Looked for in the normalised text instead of the text as written. */
  normalized: boolean
  special: boolean
}

/** A stretch of text: an added token, or plain text between two. */
export interface Section {
  start: number
  end: number
  token?: AddedToken
}

/** Finds added tokens in a text. */
export type AddedTokenSplitter = (text: string) => Section[]

interface TrieNode {
  next: Map<string, TrieNode>
  token?: AddedToken
}

/**
 * Splits as the reference does (tokenizers/src/tokenizer/added_vocabulary.rs): leftmost match first, the longest at a place,
 * then the token's own conditions.
 */
export function addedTokenSplitter(tokens: readonly AddedToken[]): AddedTokenSplitter {
  const root: TrieNode = { next: new Map() }
  for (const token of tokens) {
    let node = root
    for (const unit of token.content.split('')) {
      const known = node.next.get(unit)
      const next = known ?? { next: new Map() }
      if (!known) node.next.set(unit, next)
      node = next
    }
    node.token = token
  }

  const longestAt = (text: string, from: number): AddedToken | undefined => {
    let node: TrieNode | undefined = root
    let found: AddedToken | undefined
    for (let i = from; i < text.length; i++) {
      node = node.next.get(text.charAt(i))
      if (!node) break
      found = node.token ?? found
    }
    return found
  }

  return (text) => {
    const sections: Section[] = []
    let done = 0
    const until = (end: number) => {
      if (end > done) sections.push({ start: done, end })
    }
    for (let i = 0; i < text.length;) {
      const token = longestAt(text, i)
      if (!token) {
        i++
        continue
      }
      let start = i
      let end = i + token.content.length
      i = end
      if (token.singleWord && (wordBefore(text, start) || wordBehind(text, end))) continue
      if (token.lstrip) start = Math.max(done, text.slice(0, start).trimEnd().length)
      if (token.rstrip) end = text.length - text.slice(end).trimStart().length
      until(start)
      sections.push({ start, end, token })
      done = end
      i = end
    }
    until(text.length)
    return sections
  }
}

/** What Rust's regex calls a word character (\w, Unicode): JavaScript's own \w knows only ASCII. */
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u

function wordBefore(text: string, end: number): boolean {
  const last = Array.from(text.slice(Math.max(0, end - 2), end)).at(-1)
  return last !== undefined && WORD.test(last)
}

function wordBehind(text: string, start: number): boolean {
  const [first] = text.slice(start, start + 2)
  return first !== undefined && WORD.test(first)
}
