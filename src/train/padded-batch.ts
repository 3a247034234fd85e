import { IGNORED_LABEL, type Batch } from './batch.ts'

/** The batch with its rows padded on the right to a multiple of `step` tokens; itself where nothing is missing. */
export function padBatch(batch: Batch, step: number): Batch {
  const length = Math.ceil(batch.length / step) * step
  if (length === batch.length) return batch
  const widen = (data: Int32Array, padding: number): Int32Array => {
    const wide = new Int32Array(batch.rows * length).fill(padding)
    for (let row = 0; row < batch.rows; row++)
      wide.set(data.subarray(row * batch.length, (row + 1) * batch.length), row * length)
    return wide
  }
  return {
    ...batch,
    length,
    inputIds: widen(batch.inputIds, 0),
    positions: widen(batch.positions, 0),
    segments: widen(batch.segments, 0),
    labels: widen(batch.labels, IGNORED_LABEL),
  }
}

/** Values [rows, padded length, width] without what padBatch added. */
export function unpadRows(values: Float32Array, padded: Batch, length: number): Float32Array {
  if (padded.length === length) return values
  const width = values.length / (padded.rows * padded.length)
  const narrow = new Float32Array(padded.rows * length * width)
  for (let row = 0; row < padded.rows; row++) {
    const start = row * padded.length * width
    narrow.set(values.subarray(start, start + length * width), row * length * width)
  }
  return narrow
}
