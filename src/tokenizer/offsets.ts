/** Where each UTF-8 byte of a text comes from: the UTF-16 range of its character. */
export interface ByteMap {
  length: number
  starts: Int32Array
  ends: Int32Array
}

/** A lone surrogate counts three bytes: encoders write U+FFFD for it. */
export function byteMap(text: string): ByteMap {
  const starts = new Int32Array(text.length * 3)
  const ends = new Int32Array(text.length * 3)
  let length = 0
  let unit = 0
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    const bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    starts.fill(unit, length, length + bytes)
    unit += character.length
    ends.fill(unit, length, length + bytes)
    length += bytes
  }
  return { length, starts, ends }
}

/** A place of the normalised text → the range of the text as written that it came from. */
export interface Alignment {
  start(position: number): number
  end(position: number): number
}

const IDENTITY: Alignment = { start: (position) => position, end: (position) => position }

/** A character with the marks and Hangul vowels and tails that may compose with it: no normal form reaches across. */
const SEGMENT = /[\s\S][\p{M}\u1160-\u11ff\ud7b0-\ud7ff]*/gu

/**
 * Aligns a text with its normalised form, segment by segment. Exact wherever normalising the segments one by one gives the
 * normalised text; where it does not, the whole text is one segment, and so every token covers all of it.
 * `prefix` is what a Prepend step puts in front: it comes from nowhere, an empty range at the start.
 */
export function alignNormalized(
  text: string,
  normalized: string,
  normalize: (text: string) => string,
  prefix: string,
): Alignment {
  if (text === normalized) return IDENTITY
  const lead = prefix !== '' && normalized.startsWith(prefix) ? prefix : ''
  const one = (segment: string) => {
    const out = normalize(segment)
    return lead !== '' && out.startsWith(lead) ? out.slice(lead.length) : out
  }
  let segments = (text.match(SEGMENT) ?? []).map((from) => ({ from, to: one(from) }))
  if (lead + segments.map(({ to }) => to).join('') !== normalized)
    segments = [{ from: text, to: normalized.slice(lead.length) }]

  const starts = new Int32Array(normalized.length + 1)
  const ends = new Int32Array(normalized.length + 1)
  let at = lead.length
  let source = 0
  for (const { from, to } of segments) {
    // A segment that the normal form drops belongs to the character before it.
    if (to === '') ends.fill(source + from.length, at, at + 1)
    starts.fill(source, at, at + to.length)
    source += from.length
    ends.fill(source, at + 1, at + to.length + 1)
    at += to.length
  }
  starts[normalized.length] = text.length
  return { start: (position) => starts[position] ?? 0, end: (position) => ends[position] ?? 0 }
}
