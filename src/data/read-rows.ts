import { extname } from 'node:path'
import { InputError } from '../errors.ts'
import { readCsv } from './read-csv.ts'
import { readJson } from './read-json.ts'
import { readJsonl } from './read-jsonl.ts'
import { readParquet } from './read-parquet.ts'
import type { SourceFile, SourceRow } from './source-row.ts'

const READERS: Readonly<Record<string, (source: SourceFile) => AsyncGenerator<SourceRow>>> = {
  '.json': readJson,
  '.jsonl': readJsonl,
  '.ndjson': readJsonl,
  '.csv': readCsv,
  '.tsv': readCsv,
  '.parquet': readParquet,
}

/**
 * Rows of a local file, by its name's ending, in the file's order. InputError where it cannot be read, or holds no row; a part of
 * a table may hold none.
 */
export async function* readRows(source: SourceFile, isPart = false): AsyncGenerator<SourceRow> {
  const read = READERS[extname(source.name).toLowerCase()]
  if (!read)
    throw new InputError(
      `${source.name}: the kind of file is not known by its name; use ${Object.keys(READERS).join(', ')}`,
    )
  let rows = 0
  for await (const row of read(source)) {
    rows++
    yield row
  }
  if (rows === 0 && !isPart)
    throw new InputError(`${source.name}: holds no rows; put rows into it or leave it out`)
}
