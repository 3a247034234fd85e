import type { Tensor } from 'onnxruntime-node'
import { tensor } from '../onnx/session.ts'
import type { VocabularyMatrix } from './frozen-weights.ts'

/** Rows that pass the whole head together: it is read once for so many. */
export const HEAD_ROWS = 512

/** Logits held at a time, and as many probabilities: 16 MB each. */
const MOST_LOGITS = 1 << 22
/** Elements of a slice, which is float32 while it is used: 64 MB. */
const MOST_WEIGHTS = 1 << 24
/** By how much less where memory counts most. */
const FRUGAL = 4

export interface HeadSlice {
  /** The slice's first token. */
  first: number
  /** What headParts() takes as the head: `head` [V, hidden], over the matrix's own memory, and where it is whole numbers `head.factors` [V]. */
  feeds: [string, Tensor][]
}

/** How many tokens a slice has for so many rows. The format plays no part: the same sums in each. */
export function sliceTokens(
  [vocabulary, width]: readonly [number, number],
  rows: number,
  frugal: boolean,
): number {
  const share = frugal ? FRUGAL : 1
  const most = Math.min(MOST_LOGITS / share / Math.max(1, rows), MOST_WEIGHTS / share / width)
  return Math.min(vocabulary, Math.max(1, Math.floor(most)))
}

/** The head cut into slices of about equal size, for `rows` rows. */
export function* headSlices(matrix: VocabularyMatrix, rows: number, frugal = false): Generator<HeadSlice> {
  const [vocabulary, width] = matrix.shape as [number, number]
  const count = Math.ceil(vocabulary / sliceTokens([vocabulary, width], rows, frugal))
  const step = Math.ceil(vocabulary / count)
  for (let first = 0; first < vocabulary; first += step) {
    const end = Math.min(vocabulary, first + step)
    const data = matrix.data.subarray(first * width, end * width)
    const feeds: HeadSlice['feeds'] = [['head', tensor(matrix.type, data, [end - first, width])]]
    if (matrix.type === 'int8')
      feeds.push(['head.factors', tensor('float32', matrix.factors.subarray(first, end), [end - first])])
    yield { first, feeds }
  }
}
