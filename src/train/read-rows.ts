import { join } from 'node:path'
import { readTokenizedRows } from '../data/tokenized-rows.ts'
import { CorruptError } from '../errors.ts'
import { readJsonFile } from '../formats/json-file.ts'
import type { NamedRows } from './batches.ts'

/** One side of a tokenized artifact, rows with their ids. CorruptError where ids and rows are not alike in number. */
export function readNamedRows(tokenizedDir: string, side: 'train' | 'eval'): NamedRows {
  const rows = readTokenizedRows(join(tokenizedDir, `${side}.safetensors`))
  const path = join(tokenizedDir, 'rows.json')
  const ids = readJsonFile(path)[side]
  if (!Array.isArray(ids) || ids.length !== rows.count)
    throw new CorruptError(`${path}: does not name the ${rows.count} rows of ${side}.safetensors`)
  return { ...rows, id: (row) => String(ids[row]) }
}
