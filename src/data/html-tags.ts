import { QuoteType, Tokenizer } from 'htmlparser2'
import { BARE_ATTRIBUTES, HTML_ELEMENTS, MAY_STAY_OPEN, VOID_ELEMENTS } from './html-elements.ts'

/** A piece of `source` that is markup: half-open range, and what it is. */
export type Markup = { start: number; end: number } & (
  | { kind: 'open' | 'close'; name: string; pair?: Markup }
  | { kind: 'comment' }
  | { kind: 'entity'; text: string }
)

type Tag = Extract<Markup, { name: string }>

/**
 * The markup in a text, in order, found by htmlparser2's tokenizer. Only what surely is HTML: known elements, closed where
 * they have to be, entities with their semicolon. All else in angle brackets (generics, comparisons, placeholders) is text.
 */
export function htmlMarkup(source: string): Markup[] {
  const found: Markup[] = []
  let open: { start: number; name: string; isHtml: boolean } | undefined
  let attribute = ''
  const closeBracket = (end: number) => {
    if (open?.isHtml) found.push({ kind: 'open', name: open.name, start: open.start, end: end + 1 })
    open = undefined
  }
  const tokenizer = new Tokenizer(
    { decodeEntities: true },
    {
      onopentagname(start, end) {
        const name = source.slice(start, end).toLowerCase()
        open = { start: start - 1, name, isHtml: HTML_ELEMENTS.has(name) }
      },
      onattribname(start, end) {
        attribute = source.slice(start, end).toLowerCase()
      },
      onattribend(quote) {
        if (open && quote === QuoteType.NoValue && !BARE_ATTRIBUTES.has(attribute)) open.isHtml = false
      },
      onopentagend: closeBracket,
      onselfclosingtag: closeBracket,
      onclosetag(start, end) {
        const name = source.slice(start, end).toLowerCase()
        const bracket = source.indexOf('>', end)
        if (bracket !== -1 && HTML_ELEMENTS.has(name))
          found.push({ kind: 'close', name, start: start - 2, end: bracket + 1 })
      },
      oncomment(start, end) {
        // Not one that is never closed: the tokenizer would take all the rest for it.
        const isWhole = source.startsWith('<!--', start - 4) && source.startsWith('-->', end - 2)
        if (isWhole) found.push({ kind: 'comment', start: start - 4, end: end + 1 })
      },
      ondeclaration(start, end) {
        if (/^doctype/i.test(source.slice(start, start + 7)))
          found.push({ kind: 'comment', start: start - 2, end: end + 1 })
      },
      ontextentity(codepoint, end) {
        if (source[end - 1] !== ';') return // a legacy entity such as &copy: in a text it is a URL's parameter
        const start = source.lastIndexOf('&', end - 1)
        found.push({ kind: 'entity', start, end, text: String.fromCodePoint(codepoint) })
      },
      onattribdata() {},
      onattribentity() {},
      oncdata() {},
      onprocessinginstruction() {},
      ontext() {},
      onend() {},
    },
  )
  tokenizer.write(source)
  tokenizer.end()
  pair(found)
  return found.filter((markup) => !('name' in markup) || isMarkup(markup, source))
}

/** Joins each closing tag with the last open one of its name. */
function pair(found: Markup[]): void {
  const open = new Map<string, Tag[]>()
  for (const tag of found) {
    if (!('name' in tag)) continue
    if (tag.kind === 'open') {
      const waiting = open.get(tag.name)
      if (waiting) waiting.push(tag)
      else open.set(tag.name, [tag])
      continue
    }
    const partner = open.get(tag.name)?.pop()
    if (!partner) continue
    partner.pair = tag
    tag.pair = partner
  }
}

/** `Foo<P> x` is a generic type, `text<p>` and `text<BR>` are HTML: right behind a word, an unclosed tag has to look like one. */
function isMarkup(tag: Tag, source: string): boolean {
  if (tag.pair) return true
  if (tag.kind === 'close') return tag.name === 'p' || tag.name === 'br'
  if (!VOID_ELEMENTS.has(tag.name) && !MAY_STAY_OPEN.has(tag.name)) return false
  const written = source.slice(tag.start + 1, tag.start + 1 + tag.name.length)
  const behindWord = /\w/.test(source[tag.start - 1] ?? '')
  return !behindWord || written === tag.name || tag.name === 'br'
}
