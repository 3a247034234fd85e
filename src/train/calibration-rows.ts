import { makeBatch, type Batch, type Sample } from './batch.ts'
import type { NamedRows } from './batches.ts'

/** Enough that every channel is seen at its usual size; one pass over so many tokens takes about a second for 135M weights. */
const TOKENS = 512

/** How many of the first rows of the data they are: up to so many tokens, the last one in part. */
export function calibratedRows(rows: NamedRows): number {
  let row = 0
  for (let tokens = 0; row < rows.count && tokens < TOKENS; row++) tokens += rows.ids(row).length
  return row
}

/** The first rows of the data, up to so many tokens, as one row in which they do not see each other. */
export function calibrationRows(rows: NamedRows): Batch {
  const samples: Sample[] = []
  const count = calibratedRows(rows)
  let left = TOKENS
  for (let row = 0; row < count; row++) {
    const ids = rows.ids(row).slice(0, left)
    samples.push({ id: rows.id(row), ids, targets: ids.map(() => 0) })
    left -= ids.length
  }
  return makeBatch([samples])
}
