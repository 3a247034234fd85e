import type { Value } from '../onnx/graph.ts'
import * as o from '../onnx/ops.ts'

/** So small that it changes no row's largest value, but keeps a row of zeros from being divided by zero. */
const TINY = 1e-30
/** The largest whole number that a row's largest value becomes. */
const LARGEST = 127
/** Steps of the second term in one of the first: what the first misses is half of one at most, which becomes LARGEST. */
const REST = 2 * LARGEST

/** 16 bits are two terms of 8 each. */
export type Rounding = '8 bits' | '16 bits'

/** A matrix as whole numbers, each row with a scale of its own: `scales` [rows, 1] times (`whole` - 128), and where there is a `rest`, (`rest` - 128) / REST of it more. */
export interface RoundedRows {
  whole: Value
  rest: Value | undefined
  scales: Value
}

export function roundRows(x: Value, rounding: Rounding): RoundedRows {
  const largest = o.reduceMax(o.abs(x), [-1])
  const scales = o.add(o.mul(largest, o.scalar(x, 1 / LARGEST)), o.scalar(x, TINY))
  const byRow = o.reshape(scales, x.shape.slice(0, 1))
  const whole = o.quantizeRows(x, byRow)
  if (rounding === '8 bits') return { whole, rest: undefined, scales }
  const missed = o.sub(x, o.dequantizeRows(whole, byRow))
  return { whole, rest: o.quantizeRows(missed, o.mul(byRow, o.scalar(x, 1 / REST))), scales }
}

/** The rows times the int8 `matrix` [n, columns], whose columns have `factors`, or all the same. */
export function wholeProduct({ whole, rest, scales }: RoundedRows, matrix: Value, factors: Value): Value {
  const first = o.integerMatmul(whole, matrix, factors)
  if (!rest) return o.mul(first, scales)
  const second = o.integerMatmul(rest, matrix, o.mul(factors, o.scalar(factors, 1 / REST)))
  return o.mul(o.add(first, second), scales)
}
