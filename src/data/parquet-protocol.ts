import { isUtf8 } from 'node:buffer'

/** What the thread that reads a Parquet file answers. */
export type ParquetReply =
  { type: 'rows'; rows: unknown[] } | { type: 'end' } | { type: 'failed'; message: string }

const utf8 = new TextDecoder()

/**
 * A Parquet value as JSON has it, so that a row is the same row whatever file it came in: a time as ISO 8601; bytes as the text
 * that they are, since older writers mark no text, else in base64; a whole number beyond what a double holds as its digits.
 * A field without a value is left out, as writers of JSON leave it out.
 */
export function plainValue(value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof Uint8Array)
    return isUtf8(value) ? utf8.decode(value) : Buffer.from(value).toString('base64')
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plainValue)
  if (Array.isArray(value)) return value.map(plainValue)
  if (typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) => {
      const plain = plainValue(field)
      return plain === null ? [] : [[name, plain]]
    }),
  )
}
