import { codeRanges } from './code-ranges.ts'
import { LINE_ELEMENTS, PARAGRAPH_ELEMENTS, UNREAD_ELEMENTS } from './html-elements.ts'
import { htmlMarkup } from './html-tags.ts'

/**
 * The text that a reader of the HTML would see: tags, comments, scripts and styles gone, entities decoded, paragraphs and list
 * items on lines of their own. What stands in Markdown code, and what only looks like a tag, stays letter for letter.
 */
export function stripHtml(text: string): string {
  if (!/[<&]/.test(text)) return text
  const markup = htmlMarkup(withoutCode(text))
  if (markup.length === 0) return text
  const out = new LineWriter()
  let at = 0
  for (const piece of markup) {
    if (piece.start < at) continue // inside a script or a style
    out.write(text.slice(at, piece.start))
    at = piece.end
    switch (piece.kind) {
      case 'entity':
        out.write(piece.text)
        break
      case 'comment':
        break
      case 'open':
        if (UNREAD_ELEMENTS.has(piece.name) && piece.pair) at = piece.pair.end
        else openElement(out, piece.name)
        break
      case 'close':
        closeElement(out, piece.name)
    }
  }
  out.write(text.slice(at))
  return out.toString()
}

/** The same length with code blanked out, so that ranges found in it hold for `text`. */
function withoutCode(text: string): string {
  let out = ''
  let at = 0
  for (const [start, end] of codeRanges(text)) {
    out += text.slice(at, start) + 'x'.repeat(end - start)
    at = end
  }
  return out + text.slice(at)
}

function openElement(out: LineWriter, name: string): void {
  if (name === 'br') out.lineBreak()
  else if (PARAGRAPH_ELEMENTS.has(name)) out.ensureNewLines(2)
  else if (LINE_ELEMENTS.has(name)) out.ensureNewLines(1)
  else if (name === 'td' || name === 'th') out.ensureSpace()
  if (name === 'li') out.write('- ')
  if (name === 'pre') out.keepIndentation()
}

function closeElement(out: LineWriter, name: string): void {
  if (PARAGRAPH_ELEMENTS.has(name)) out.ensureNewLines(2)
  else if (LINE_ELEMENTS.has(name)) out.ensureNewLines(1)
}

/** White space beside a break that the markup makes. */
const LAYOUT = /^[ \t]*\n?[ \t]*/

/** Collects text; line breaks that the markup asks for swallow the white space of the source around them. */
class LineWriter {
  readonly #pieces: string[] = []
  #newLines = 2 // at the end of what is written; the beginning counts as a paragraph's
  #afterBreak: RegExp | undefined // white space to leave out of what is written next

  write(text: string): void {
    const piece = this.#afterBreak ? text.replace(this.#afterBreak, '') : text
    if (piece === '') return
    this.#afterBreak = undefined
    this.#pieces.push(piece)
    let trailing = 0
    while (piece[piece.length - 1 - trailing] === '\n') trailing++
    this.#newLines = trailing === piece.length ? this.#newLines + trailing : trailing
  }

  ensureNewLines(count: number): void {
    if (this.#newLines < count) this.#break(count - this.#newLines)
    this.#afterBreak = LAYOUT
  }

  /** Inside of <pre> only a first line break is layout. */
  keepIndentation(): void {
    this.#afterBreak = /^\n/
  }

  lineBreak(): void {
    this.#break(1)
    this.#afterBreak = LAYOUT
  }

  ensureSpace(): void {
    const last = this.#pieces.at(-1) ?? '\n'
    if (!/\s$/.test(last)) this.write(' ')
  }

  toString(): string {
    return this.#pieces.join('')
  }

  #break(count: number): void {
    this.#pieces.push('\n'.repeat(count))
    this.#newLines += count
  }
}
