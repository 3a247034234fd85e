/** Which ends lose their white space: a completion's first blank is a token of its own, and has to stay. */
export type Trim = 'both' | 'start' | 'end'

/** Two blank lines part functions in code; more are left over from a page's layout. */
const MAX_NEW_LINES = 3

/**
 * One spelling for what looks the same: Unicode NFC, line feeds, plain blanks for exotic ones, no invisible characters, no
 * blanks at line ends, at most two empty lines. Indentation and everything else inside a line stay, since code has them.
 * (Not NFKC: it would turn x² into x2.)
 */
export function normaliseText(text: string, trim: Trim = 'both'): string {
  const lines = text
    .toWellFormed() // a lone surrogate cannot be written as UTF-8
    .normalize('NFC')
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, '\n')
    .replace(/[\u00a0\u2000-\u200a\u202f\u205f]/g, ' ')
    // Zero-width space, word joiner, byte order mark, soft hyphen. Joiners stay: scripts and emoji are built with them.
    .replace(/[\u200b\u2060\ufeff\u00ad]/g, '')
    .replace(/\p{Cc}/gu, (control) => (control === '\n' || control === '\t' ? control : ''))
    .split('\n')
  const last = lines.length - 1
  const joined = lines
    .map((line, index) => (index === last && trim === 'start' ? line : withoutTrailingBlanks(line)))
    .join('\n')
    .replace(/\n{4,}/g, '\n'.repeat(MAX_NEW_LINES))
  switch (trim) {
    case 'both':
      return joined.trim()
    case 'start':
      return joined.trimStart()
    case 'end':
      return joined.trimEnd()
  }
}

/** By hand: a regular expression for it takes time by the square of a line of blanks. */
function withoutTrailingBlanks(line: string): string {
  let end = line.length
  while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--
  return line.slice(0, end)
}
