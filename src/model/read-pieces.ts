import type { WeightSource } from './weights.ts'

/** Elements of a piece: 4 MB of float32, which stay in the processor's cache, and reading calls that are not felt. */
const PIECE = 1 << 20

export interface Piece {
  values: Float32Array
  /** The first element's place in the tensor. */
  start: number
}

/** A tensor decoded to float32 in pieces of whole rows, a multiple of `rowsTogether` but for the last, one after another. */
export function* pieces(source: WeightSource, name: string, rowsTogether = 1): Generator<Piece> {
  const [rows = 1, ...rest] = source.infos.get(name)?.shape ?? []
  const width = rest.reduce((a, b) => a * b, 1)
  const step = rowsTogether * Math.max(1, Math.floor(PIECE / width / rowsTogether))
  for (let from = 0; from < rows; from += step)
    yield { values: source.rows(name, from, Math.min(rows, from + step)), start: from * width }
}
