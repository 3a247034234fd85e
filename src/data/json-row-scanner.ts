import { InputError } from '../errors.ts'
import { MAX_ROW_BYTES } from './row-limits.ts'
import type { SourceRow } from './source-row.ts'

/**
 * Finds the rows of a JSON document while it streams by: the elements of its list, or of the one list in its object. JSON.parse
 * reads each row by itself, so a document of any size needs the memory of one row, and an error can name row and line.
 */
export interface JsonRowScanner {
  push(chunk: Buffer): SourceRow[]
  /** InputError where the document is not whole, or holds no list. */
  end(): void
}

/** What may come next. `value`: inside a row, a key or a member that is no list. */
type State =
  | 'document'
  | 'first-row'
  | 'row'
  | 'after-row'
  | 'first-key'
  | 'key'
  | 'colon'
  | 'member'
  | 'after-member'
  | 'value'
  | 'end'

const code = (character: string) => character.charCodeAt(0)
const NEW_LINE = 0x0a
const QUOTE = code('"')
const BACKSLASH = code('\\')
const isSpace = (byte: number) => byte === 0x20 || byte === NEW_LINE || byte === 0x0d || byte === 0x09
const opens = (byte: number) => byte === code('[') || byte === code('{')
const closes = (byte: number) => byte === code(']') || byte === code('}')

export function createJsonRowScanner(name: string): JsonRowScanner {
  let state: State = 'document'
  let line = 1
  let rows = 0
  let inObject = false
  const lists: string[] = []
  const fields: string[] = []

  // The value being read: its bytes so far, where it began, how deep it is, and what it is for.
  let pieces: Buffer[] = []
  let bytes = 0
  let firstLine = 1
  let depth = 0
  let inString = false
  let escaped = false
  let purpose: 'row' | 'key' | 'member' = 'row'

  const unexpected = (byte: number, wanted: string) =>
    new InputError(
      `${name}: line ${line} is not JSON: ${wanted} is expected after row ${rows}, not ${JSON.stringify(String.fromCharCode(byte))}; mend that line`,
    )

  const keep = (piece: Buffer) => {
    if (piece.length === 0) return
    pieces.push(piece)
    bytes += piece.length
    if (bytes > MAX_ROW_BYTES)
      throw new InputError(
        `${name}: the value that begins in line ${firstLine} is longer than ${MAX_ROW_BYTES} bytes, the limit for one row; split it into rows`,
      )
  }

  const parseValue = (): unknown => {
    const text = Buffer.concat(pieces).toString('utf8')
    pieces = []
    bytes = 0
    try {
      return JSON.parse(text)
    } catch (cause) {
      const what = cause instanceof Error ? cause.message : String(cause)
      const where = purpose === 'row' ? `${name}:${rows + 1}: the row` : `${name}: the value`
      throw new InputError(`${where} that begins in line ${firstLine} is not JSON (${what}); mend it`, {
        cause,
      })
    }
  }

  const finishValue = (found: SourceRow[]) => {
    const value = parseValue()
    switch (purpose) {
      case 'row':
        rows++
        found.push({ at: `${name}:${rows}`, value })
        state = 'after-row'
        return
      case 'key':
        fields.push(String(value))
        state = 'colon'
        return
      case 'member':
        state = 'after-member'
    }
  }

  const begin = (as: typeof purpose) => {
    state = 'value'
    purpose = as
    firstLine = line
    depth = 0
    inString = false
    escaped = false
  }

  const enterList = () => {
    lists.push(fields.at(-1) ?? '')
    if (lists.length > 1)
      throw new InputError(
        `${name}: has more than one list (${lists.join(', ')}), so which one holds the rows is open; keep one, or write the rows as .jsonl`,
      )
    state = 'first-row'
  }

  /** One byte outside of a value. True where a value begins with this byte. */
  const step = (byte: number): boolean => {
    switch (state) {
      case 'document':
        if (byte === code('[')) enterList()
        else if (byte === code('{')) {
          inObject = true
          state = 'first-key'
        } else throw new InputError(`${name}: is not JSON, it begins with neither [ nor {; check the file`)
        return false
      case 'first-row':
      case 'row':
        if (byte === code(']') && state === 'first-row') state = inObject ? 'after-member' : 'end'
        else if (byte === code(',') || closes(byte)) throw unexpected(byte, 'a row')
        else {
          begin('row')
          return true
        }
        return false
      case 'after-row':
        if (byte === code(',')) state = 'row'
        else if (byte === code(']')) state = inObject ? 'after-member' : 'end'
        else throw unexpected(byte, '"," or "]"')
        return false
      case 'first-key':
      case 'key':
        if (byte === QUOTE) {
          begin('key')
          return true
        }
        if (byte !== code('}') || state === 'key') throw unexpected(byte, 'a field name')
        state = 'end'
        return false
      case 'colon':
        if (byte !== code(':')) throw unexpected(byte, '":"')
        state = 'member'
        return false
      case 'member':
        if (byte === code('[')) enterList()
        else if (byte === code(',') || closes(byte)) throw unexpected(byte, 'a value')
        else {
          begin('member')
          return true
        }
        return false
      case 'after-member':
        if (byte === code(',')) state = 'key'
        else if (byte === code('}')) state = 'end'
        else throw unexpected(byte, '"," or "}"')
        return false
      case 'end':
        throw unexpected(byte, 'nothing more')
      case 'value':
        return true
    }
  }

  const push = (chunk: Buffer): SourceRow[] => {
    const found: SourceRow[] = []
    let start = 0 // of the value within this chunk
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (byte === NEW_LINE) line++
      if (state !== 'value') {
        if (isSpace(byte) || !step(byte)) continue
        start = at
      }
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inString = false
        else continue
        if (inString || depth > 0) continue
      } else if (byte === QUOTE) {
        inString = true
        continue
      } else if (opens(byte)) {
        depth++
        continue
      } else if (closes(byte) && depth > 0) {
        depth--
        if (depth > 0) continue
      } else if (depth > 0) continue
      else if (byte === code(',') || closes(byte) || isSpace(byte)) {
        // A number, true, false or null ends before this byte, which then has its own meaning.
        keep(chunk.subarray(start, at))
        finishValue(found)
        if (byte === NEW_LINE) line--
        at--
        continue
      } else continue
      keep(chunk.subarray(start, at + 1))
      finishValue(found)
    }
    if (state === 'value') keep(chunk.subarray(start))
    return found
  }

  const end = () => {
    if (state === 'document') throw new InputError(`${name}: holds nothing but white space; put rows into it`)
    if (state !== 'end')
      throw new InputError(
        `${name}: is cut off in line ${line}, after row ${rows}; get the whole file again or close the list there`,
      )
    if (lists.length === 0)
      throw new InputError(
        `${name}: holds one object without a list of rows (fields: ${fields.join(', ') || 'none'}); give a list of objects, or one object a line as .jsonl`,
      )
  }

  return { push, end }
}
