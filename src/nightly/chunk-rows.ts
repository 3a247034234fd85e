import { join } from 'node:path'
import type { CanonicalRow } from '../data/canonical-row.ts'
import { readJsonl } from '../data/read-jsonl.ts'
import { readJsonFile } from '../formats/json-file.ts'
import { openInput } from '../stages/open-input.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { RAW_FILE } from './clean-chunk.ts'

/** A clean row of some chunk. */
export interface ChunkRow {
  row: CanonicalRow
  side: 'train' | 'eval'
  /** Digest of the raw row that it came from. */
  raw: string
}

export interface Chunk {
  digest: string
  rows: ChunkRow[]
  /** Every row that was cleaned, also those that were removed. */
  raws: string[]
}

/** A chunk of clean rows from the store. */
export async function readChunk(context: StageContext, digest: string): Promise<Chunk> {
  const { dir } = await openInput(context, { stage: 'clean-chunk', digest })
  const raws = readJsonFile(join(dir, RAW_FILE)) as Record<string, string>
  const rows: ChunkRow[] = []
  for (const side of ['train', 'eval'] as const) {
    for await (const { value } of readJsonl({ name: side, path: join(dir, `${side}.jsonl`) })) {
      const row = value as CanonicalRow // of our own writing
      rows.push({ row, side, raw: raws[row.at] ?? '' })
    }
  }
  return { digest, rows, raws: Object.values(raws) }
}

/**
 * The rows of the chunks that the sources still hold, each content once. `fresh` says of a row whether a chunk behind the
 * first `consumed` brought it.
 */
export function presentRows(
  chunks: readonly Chunk[],
  consumed: number,
  isPresent: (raw: string) => boolean,
): (ChunkRow & { fresh: boolean })[] {
  const seen = new Set<string>()
  return chunks.flatMap(({ rows }, index) =>
    rows.flatMap((each) => {
      if (!isPresent(each.raw) || seen.has(each.row.id)) return []
      seen.add(each.row.id)
      return [{ ...each, fresh: index >= consumed }]
    }),
  )
}
