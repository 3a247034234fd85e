import { InputError } from '../errors.ts'
import { MAX_ROW_BYTES } from './row-limits.ts'
import type { SourceFile, SourceRow } from './source-row.ts'
import { readUtf8Chunks } from './utf8-chunks.ts'

const NEW_LINE = 0x0a

/** Rows of a JSON Lines file, one JSON value a line; blank lines are passed over. A row's number is its line, as an editor shows it. */
export async function* readJsonl(source: SourceFile): AsyncGenerator<SourceRow> {
  const { name } = source
  let pieces: Buffer[] = []
  let bytes = 0
  let line = 0
  const keep = (piece: Buffer) => {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > MAX_ROW_BYTES)
      throw new InputError(
        `${name}:${line + 1}: the line is longer than ${MAX_ROW_BYTES} bytes, the limit for one row; put one JSON object on each line`,
      )
  }
  const take = (last: boolean): SourceRow | undefined => {
    line++
    const text = Buffer.concat(pieces).toString('utf8')
    pieces = []
    bytes = 0
    return text.trim() === '' ? undefined : { at: `${name}:${line}`, value: parse(text, name, line, last) }
  }
  for await (const chunk of readUtf8Chunks(source)) {
    let start = 0
    for (let end = chunk.indexOf(NEW_LINE); end !== -1; end = chunk.indexOf(NEW_LINE, start)) {
      keep(chunk.subarray(start, end))
      start = end + 1
      const row = take(false)
      if (row) yield row
    }
    keep(chunk.subarray(start))
  }
  const row = take(true)
  if (row) yield row
}

function parse(text: string, name: string, line: number, last: boolean): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause)
    if (last)
      throw new InputError(
        `${name}:${line}: the last line is cut off or no JSON (${what}); get the file again or remove the line`,
        { cause },
      )
    const mend = /^\s*[[\]]/.test(text)
      ? 'a file that is one JSON list has to be named .json'
      : 'put one whole JSON object on each line'
    throw new InputError(`${name}:${line}: the line is not JSON (${what}); ${mend}`, { cause })
  }
}
