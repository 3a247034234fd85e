import { Readable } from 'node:stream'
import { CsvError, parse } from 'csv-parse'
import { InputError } from '../errors.ts'
import { MAX_ROW_BYTES } from './row-limits.ts'
import type { SourceFile, SourceRow } from './source-row.ts'
import { readUtf8Chunks } from './utf8-chunks.ts'

/**
 * Rows of a CSV file (RFC 4180) whose first row names the columns. Separated by comma, or by the semicolon or tab that the
 * header shows. A row's number is the spreadsheet's: the header is row 1. All values are text; an empty cell is an empty text,
 * since CSV cannot say that a value is missing.
 */
export async function* readCsv(source: SourceFile): AsyncGenerator<SourceRow> {
  const { name } = source
  const parser = parse({
    columns: (header: string[]) => checkHeader(header, name),
    delimiter: await delimiterOf(source),
    max_record_size: MAX_ROW_BYTES,
    skip_empty_lines: true,
  })
  const bytes = Readable.from(readUtf8Chunks(source))
  bytes.once('error', (error) => parser.destroy(error))
  bytes.pipe(parser)
  let row = 1
  try {
    for await (const value of parser as AsyncIterable<unknown>) {
      row++
      yield { at: `${name}:${row}`, value }
    }
  } catch (cause) {
    throw cause instanceof CsvError ? explained(cause, name, row + 1) : cause
  } finally {
    bytes.destroy()
  }
}

function explained(cause: CsvError, name: string, row: number): InputError {
  const says = (text: string) => new InputError(`${name}:${row}: ${text}`, { cause })
  const line = typeof cause['lines'] === 'number' ? ` (line ${cause['lines']})` : ''
  if (cause.code === 'CSV_QUOTE_NOT_CLOSED')
    return says('a quoted value is never closed, so the file is cut off or a quote is missing; close it')
  if (cause.code === 'CSV_MAX_RECORD_SIZE')
    return says(
      `the row is longer than ${MAX_ROW_BYTES} bytes, the limit for one row; look for a quote that is not closed`,
    )
  if (cause.code === 'CSV_RECORD_INCONSISTENT_COLUMNS')
    return says(
      `the row${line} has another number of values than the header; quote values that hold the separator`,
    )
  return says(`the row is not CSV (${cause.message}); mend it`)
}

function checkHeader(header: string[], name: string): string[] {
  const names = header.map((column) => column.trim())
  const twice = names.find((column, index) => names.indexOf(column) !== index)
  if (twice !== undefined)
    throw new InputError(
      `${name}:1: two columns are named ${JSON.stringify(twice)}; name each column once in the first row`,
    )
  return names
}

/** The separator that the header has most of. */
async function delimiterOf(source: SourceFile): Promise<string> {
  for await (const chunk of readUtf8Chunks(source)) {
    const [header = ''] = chunk.toString('utf8').split('\n', 1)
    const count = (separator: string) => header.split(separator).length
    return [',', ';', '\t'].reduce((best, separator) => (count(separator) > count(best) ? separator : best))
  }
  return ','
}
