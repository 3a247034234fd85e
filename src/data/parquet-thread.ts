import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { parentPort, workerData } from 'node:worker_threads'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { type ParquetReply, plainValue } from './parquet-protocol.ts'

// Reads one Parquet file for read-parquet.ts, a row group for each message that asks for one. A thread of its own, so that a file
// whose numbers lie fills the heap of this thread and not the worker's.

/**
 * Bytes of one row group, uncompressed: its columns are in memory together before there is a row. Writers of data sets make
 * groups of about 100 MB.
 */
const MAX_ROW_GROUP_BYTES = 512 * 1024 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true })
const { path } = workerData as { path: string }

/** Beside Snappy, which the library has itself. The page says how long it is: what is longer is refused. */
const unpack =
  (decompress: (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer) =>
  (bytes: Uint8Array, length: number) =>
    decompress(bytes, { maxOutputLength: Math.max(1, length) })
const compressors = {
  GZIP: unpack(gunzipSync),
  BROTLI: unpack(brotliDecompressSync),
  ZSTD: unpack(zstdDecompressSync),
}

function say(reply: ParquetReply): void {
  parentPort?.postMessage(reply)
}

async function* rowGroups(): AsyncGenerator<unknown[]> {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file, { geoparquet: false })
  let rowStart = 0
  for (const [index, group] of metadata.row_groups.entries()) {
    const rowEnd = rowStart + Number(group.num_rows)
    if (group.total_byte_size > MAX_ROW_GROUP_BYTES)
      throw new Error(
        `row group ${index} has ${group.total_byte_size} bytes, more than ${MAX_ROW_GROUP_BYTES}: write it with fewer rows in a group (row_group_size)`,
      )
    const rows = await parquetReadObjects({
      file,
      metadata,
      rowStart,
      rowEnd,
      compressors,
      geoparquet: false,
      utf8: false, // a column of bytes is left as bytes
      parsers: { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes) },
    })
    yield rows.map(plainValue)
    rowStart = rowEnd
  }
}

const groups = rowGroups()
async function sayNext(): Promise<void> {
  try {
    const { done, value } = await groups.next()
    say(done ? { type: 'end' } : { type: 'rows', rows: value })
  } catch (error) {
    say({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  }
}
parentPort?.on('message', () => void sayNext())
