/** What is added to a score that must not count. Finite, so that a row of nothing but these is still a number. */
export const MASKED = -1e9

export interface AttentionMask {
  /** 1: the same for all rows of the batch. */
  rows: number
  /** [rows, 1, length, length]: 0 where the query (first length) sees the key, else a large negative number. */
  data: Float32Array
}

/**
 * Causal within each segment; segments is [rows, length], 0 is padding. Padding at a row's end needs no masking: no token
 * before it sees it, and its own outputs are never targets. So with `oneMask` rows of one sample each share one mask.
 */
export function attentionMask(
  segments: Int32Array,
  rows: number,
  length: number,
  options: { oneMask: boolean },
): AttentionMask {
  const shared = options.oneMask && !hasManySegments(segments, rows, length)
  const maskRows = shared ? 1 : rows
  const data = new Float32Array(maskRows * length * length).fill(MASKED)
  for (let row = 0; row < maskRows; row++)
    for (let query = 0; query < length; query++) {
      const at = (row * length + query) * length
      if (shared) {
        data.fill(0, at, at + query + 1)
        continue
      }
      const segment = segments[row * length + query]
      for (let key = 0; key <= query; key++) if (segments[row * length + key] === segment) data[at + key] = 0
    }
  return { rows: maskRows, data }
}

/** Whether any row is anything but one segment and padding behind it. */
function hasManySegments(segments: Int32Array, rows: number, length: number): boolean {
  for (let row = 0; row < rows; row++)
    for (let t = 1; t < length; t++) {
      const segment = segments[row * length + t]
      if (segment !== 0 && segment !== segments[row * length + t - 1]) return true
    }
  return false
}
