import { InputError } from '../errors.ts'
import { bitsToFloat32 } from '../formats/numbers.ts'
import type { DataType, TensorData } from '../onnx/graph.ts'
import { readBfloat16 } from './read-bfloat16.ts'
import { readHalf } from './read-half.ts'
import { pieces } from './read-pieces.ts'
import type { WeightSource } from './weights.ts'

/**
 * How the frozen matrices of a decoder layer lie in memory, and what they are multiplied with.
 *
 * - `float32`
 * - `float16`: for bases that are stored in 16 bits. Half of float32.
 * - `bfloat16`: the same for products in bfloat16, inside a graph only.
 * - `int8`: whole numbers, one float32 factor for each row (each output); made float32 for a product.
 * - `int4`: 4-bit numbers n, worth factor·multiplier·(n - 8): a float32 factor for each row, an 8-bit multiplier for each INT4_BLOCK rows of
 *   a column, together 4.5 bits a weight and a factor a row. A byte holds a number of the first half of the rows and, in its high bits, one of the second half.
 *   (n - 8)·multiplier is a whole number of 8 bits; made float32 for a product.
 *
 * With `w8a8` (int8), `w8a16` (int8) and `w4a16` (int4) both sides of every product are whole numbers, forward and backward: what the matrix is multiplied with is rounded to
 * 8 or 16 bits, with a scale for each of its rows. The inputs of `w8a8` are smoothed. For processors with instructions for such products
 * (hasInt8Products() in src/onnx/instruction-set.ts).
 */
export type LinearFormat = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'int4' | 'w8a8' | 'w8a16' | 'w4a16'

/** The same memory, for what needs the matrix as numbers. `w8a8` stays what it is: its columns are smoothed, so there are none. */
export function asNumbers(format: LinearFormat): LinearFormat {
  switch (format) {
    case 'w8a16':
      return 'int8'
    case 'w4a16':
      return 'int4'
    case 'w8a8':
    case 'float32':
    case 'float16':
    case 'bfloat16':
    case 'int8':
    case 'int4':
      return format
  }
}

/** How the output head lies in memory, and for `w8a16` that logits are products of whole numbers. */
export type HeadFormat = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'w8a16'

/** Beside layers of a format. */
export function headFormatBeside(layers: LinearFormat): HeadFormat {
  switch (layers) {
    case 'float32':
    case 'bfloat16':
    case 'int8':
    case 'w8a16':
      return layers
    case 'float16':
    case 'int4':
    case 'w8a8':
    case 'w4a16':
      return 'float16'
  }
}

/** Rows that share a multiplier. */
export const INT4_BLOCK = 16
/** The largest magnitude of a multiplier: 8 times as much still is a whole number of 8 bits. */
const MOST_MULTIPLIED = 15

export interface StoredTensor {
  type: DataType
  data: TensorData
  shape: readonly number[]
}

/** Each column is multiplied, each row divided. Only a format with a factor for each row takes it. */
export interface SmoothedSides {
  columns: Float32Array
  rows?: Float32Array
}

/**
 * The weight `path` [out, in] in a format, by the names of frozenLinear's inputs. InputError where its width does not fit blocks.
 */
export function storeLinear(
  name: string,
  source: WeightSource,
  path: string,
  shape: readonly [number, number],
  format: LinearFormat,
  smoothed?: SmoothedSides,
): [string, StoredTensor][] {
  const [rows, columns] = shape
  switch (format) {
    case 'float32':
      return [[name, { type: 'float32', data: source.float32(path), shape }]]
    case 'float16':
      return [[name, { type: 'float16', data: readHalf(source, path), shape }]]
    case 'bfloat16':
      return [[name, { type: 'bfloat16', data: readBfloat16(source, path), shape }]]
    case 'int8':
    case 'w8a8':
    case 'w8a16': {
      const whole = new Int8Array(rows * columns)
      const factors = new Float32Array(rows)
      for (const { values, start } of pieces(source, path)) {
        if (smoothed) multiplyColumns(values, smoothed.columns)
        toInt8(values, columns, whole.subarray(start), factors.subarray(start / columns))
      }
      const { rows: divisors } = smoothed ?? {}
      if (divisors)
        for (let row = 0; row < rows; row++)
          factors[row] = (factors[row] as number) / (divisors[row] as number)
      return [
        [name, { type: 'int8', data: whole, shape }],
        [`${name}.factors`, { type: 'float32', data: factors, shape: [rows] }],
      ]
    }
    case 'int4':
    case 'w4a16': {
      if (rows % INT4_BLOCK !== 0)
        throw new InputError(
          `precision qlora needs matrices whose rows are a multiple of ${INT4_BLOCK}, but ${name} has ${rows}; choose precision small or exact`,
        )
      const packed = new Uint8Array((rows * columns) / 2)
      const multipliers = new Uint8Array((rows * columns) / INT4_BLOCK)
      const factors = new Float32Array(rows)
      for (const { values, start } of pieces(source, path, INT4_BLOCK))
        toInt4(values, { columns, first: start / columns, packed, multipliers, factors })
      return [
        [name, { type: 'uint8', data: packed, shape: [rows / 2, columns] }],
        [`${name}.multipliers`, { type: 'uint8', data: multipliers, shape: [rows / INT4_BLOCK, columns] }],
        [`${name}.factors`, { type: 'float32', data: factors, shape: [rows] }],
      ]
    }
  }
}

/** In place. */
function multiplyColumns(values: Float32Array, factors: Float32Array): void {
  for (let start = 0; start < values.length; start += factors.length)
    for (let i = 0; i < factors.length; i++)
      values[start + i] = (values[start + i] as number) * (factors[i] as number)
}

/**
 * Each row divided by its largest magnitude / 127. The factor of a row of zeros is 1. Magnitudes are compared by their bits, and
 * numbers are rounded by cutting off what lies behind the point: half the time of Math.abs and Math.round.
 */
function toInt8(values: Float32Array, columns: number, whole: Int8Array, factors: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let row = 0; row < values.length / columns; row++) {
    const [start, end] = [row * columns, (row + 1) * columns]
    let largestBits = 0
    for (let at = start; at < end; at++) {
      const magnitude = (bits[at] as number) & 0x7fffffff
      if (magnitude > largestBits) largestBits = magnitude
    }
    const largest = bitsToFloat32(largestBits)
    factors[row] = largest === 0 ? 1 : largest / 127
    if (largest === 0) continue
    const inverse = 127 / largest
    for (let at = start; at < end; at++) whole[at] = (((values[at] as number) * inverse + 128.5) | 0) - 128
  }
}

interface Int4Parts {
  columns: number
  /** The row of the matrix that `values` begin with. */
  first: number
  packed: Uint8Array
  multipliers: Uint8Array
  factors: Float32Array
}

/**
 * INT4_BLOCK rows at a time. Each row is divided by its root mean square, so that rows of a block are alike. As in ggml's Q4_0 the value of largest magnitude in a
 * block (here: of a column) shall become -8; its multiplier is rounded to a whole number of the unit that makes the largest one MOST_MULTIPLIED.
 */
function toInt4(values: Float32Array, { columns, first, packed, multipliers, factors }: Int4Parts): void {
  const extremes = new Float32Array(columns)
  const inverses = new Float32Array(columns)
  const half = packed.length / columns
  for (let group = 0; group < values.length / columns; group += INT4_BLOCK) {
    extremes.fill(0)
    const sizes = Array.from({ length: INT4_BLOCK }, (_, i) =>
      rootMeanSquare(values, (group + i) * columns, columns),
    )
    for (const [i, size] of sizes.entries()) {
      const start = (group + i) * columns
      for (let column = 0; column < columns; column++) {
        const value = (values[start + column] as number) / size
        if (Math.abs(value) > Math.abs(extremes[column] as number)) extremes[column] = value
      }
    }
    let largest = 0
    for (const extreme of extremes) largest = Math.max(largest, Math.abs(extreme))
    const unit = largest === 0 ? 1 : largest / (8 * MOST_MULTIPLIED)
    for (let column = 0; column < columns; column++) {
      const wanted = (extremes[column] as number) / (-8 * unit)
      const multiplier = Math.round(wanted) || 1
      multipliers[((first + group) / INT4_BLOCK) * columns + column] = multiplier
      inverses[column] = 1 / (multiplier * unit)
    }
    for (const [i, size] of sizes.entries()) {
      const row = first + group + i
      factors[row] = size * unit
      const isHigh = row >= half
      const [start, place] = [(group + i) * columns, (isHigh ? row - half : row) * columns]
      for (let column = 0; column < columns; column++) {
        const value = ((values[start + column] as number) / size) * (inverses[column] as number)
        const number = Math.min(15, Math.max(0, (value + 8.5) | 0))
        packed[place + column] = (packed[place + column] as number) | (isHigh ? number << 4 : number)
      }
    }
  }
}

/** 1 where all are zero. */
function rootMeanSquare(values: Float32Array, start: number, count: number): number {
  let squares = 0
  for (let i = start; i < start + count; i++) squares += (values[i] as number) ** 2
  return squares === 0 ? 1 : Math.sqrt(squares / count)
}
