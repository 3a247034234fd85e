/**
 * Token rows for one forward pass. A row holds one sample and padding, or several samples packed one after another.
 * All arrays are row-major [rows, length].
 */
export interface Batch {
  rows: number
  length: number
  /** [rows, length]; any valid id where segments is 0. */
  inputIds: Int32Array
  /** [rows, length]: the position of each token within its own sample, from 0. */
  positions: Int32Array
  /** [rows, length]: 0 is padding. A token attends to the tokens of its own segment up to itself. */
  segments: Int32Array
  /** [rows, length]: the token AT this place where it is a target, else IGNORED_LABEL. The model shifts by itself. */
  labels: Int32Array
  /** One name a row, for errors. */
  rowIds: string[]
}

/** PyTorch's ignore_index: no loss at this place. */
export const IGNORED_LABEL = -100

/** A sample of a batch: `targets[t]` is 1 where token t is to be learnt. */
export interface Sample {
  id: string
  ids: ArrayLike<number>
  targets: ArrayLike<number>
}

/**
 * Rows of samples, each row's samples packed one after another, padded on the right to the longest row.
 * A sample's first token is never a target: nothing before it predicts it.
 */
export function makeBatch(rows: readonly (readonly Sample[])[]): Batch {
  const lengths = rows.map((samples) => samples.reduce((sum, sample) => sum + sample.ids.length, 0))
  const length = Math.max(1, ...lengths)
  const size = rows.length * length
  const batch: Batch = {
    rows: rows.length,
    length,
    inputIds: new Int32Array(size),
    positions: new Int32Array(size),
    segments: new Int32Array(size),
    labels: new Int32Array(size).fill(IGNORED_LABEL),
    rowIds: rows.map((samples) => samples.map((sample) => sample.id).join('+')),
  }
  for (const [row, samples] of rows.entries()) {
    let at = row * length
    for (const [segment, { ids, targets }] of samples.entries()) {
      for (let t = 0; t < ids.length; t++, at++) {
        const id = ids[t] as number
        batch.inputIds[at] = id
        batch.positions[at] = t
        batch.segments[at] = segment + 1
        if (t > 0 && targets[t]) batch.labels[at] = id
      }
    }
  }
  return batch
}
