/** What is added to a score that must not count. Finite, so that a row of nothing but these is still a number. */
export const MASKED = -1e9

/**
 * [rows, 1, length, length]: 0 where the query (first length) sees the key, else a large negative number. Causal within
 * each segment; segments is [rows, length], 0 is padding.
 */
export function attentionMask(segments: Int32Array, rows: number, length: number): Float32Array {
  const data = new Float32Array(rows * length * length).fill(MASKED)
  for (let row = 0; row < rows; row++)
    for (let query = 0; query < length; query++) {
      const at = (row * length + query) * length
      const segment = segments[row * length + query]
      for (let key = 0; key <= query; key++) if (segments[row * length + key] === segment) data[at + key] = 0
    }
  return data
}

/**
 * [blockLength, length]: 0 where one of the last `blockLength` of `length` tokens sees a token, else a large negative
 * number. The mask of every block of queries is cut from it.
 */
export function causalTriangle(blockLength: number, length: number): Float32Array {
  const data = new Float32Array(blockLength * length)
  for (let query = 0; query < blockLength; query++)
    data.fill(MASKED, query * length + (length - blockLength) + query + 1, (query + 1) * length)
  return data
}

/**
 * Whether any row is anything but one segment and padding behind it. Else causality alone is enough: no token sees the
 * padding behind it, and padding's own outputs are never targets.
 */
export function hasManySegments(segments: Int32Array, rows: number, length: number): boolean {
  for (let row = 0; row < rows; row++)
    for (let t = 1; t < length; t++) {
      const segment = segments[row * length + t]
      if (segment !== 0 && segment !== segments[row * length + t - 1]) return true
    }
  return false
}
