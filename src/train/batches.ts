import { type Batch, makeBatch } from './batch.ts'

/** Tokenised rows as src/data/tokenized-rows.ts reads them, with their ids. */
export interface NamedRows {
  readonly count: number
  /** For errors and logs, in which a row's text has no place. */
  id(row: number): string
  ids(row: number): Int32Array
  /** 1 where the token is to be learnt. */
  lossMask(row: number): Uint8Array
}

/** A micro-batch of these rows, one sample a row, padded to its longest. */
export function batchOf(rows: NamedRows, numbers: readonly number[]): Batch {
  return packedBatchOf(
    rows,
    numbers.map((row) => [row]),
  )
}

/** A micro-batch of packs: each row holds the samples of one pack, one after another. */
export function packedBatchOf(rows: NamedRows, packs: readonly (readonly number[])[]): Batch {
  return makeBatch(
    packs.map((pack) =>
      pack.map((row) => ({ id: rows.id(row), ids: rows.ids(row), targets: rows.lossMask(row) })),
    ),
  )
}

/** Tokens of the batch, padding not counted. */
export function tokensOf(batch: Batch): number {
  return batch.segments.reduce((count, segment) => count + (segment === 0 ? 0 : 1), 0)
}

/** The first row that has nothing to learn: its first token, which nothing predicts, does not count. */
export function firstRowWithoutTarget(rows: NamedRows): number | undefined {
  for (let row = 0; row < rows.count; row++) if (!rows.lossMask(row).subarray(1).includes(1)) return row
  return undefined
}
