import { InputError } from '../errors.ts'
import { bitsToFloat32 } from '../formats/numbers.ts'
import type { DataType, TensorData } from '../onnx/graph.ts'
import { readBfloat16 } from './read-bfloat16.ts'
import { readHalf } from './read-half.ts'
import { pieces } from './read-pieces.ts'
import type { WeightSource } from './weights.ts'

/**
 * How the frozen matrices of a decoder layer lie in memory. What computes with them sees float32, except that with
 * `int8-products` both sides of every product are whole numbers, forward and backward. Its inputs are smoothed.
 *
 * - `float16`: for bases that are stored in 16 bits. Half of float32.
 * - `bfloat16`: the same for products in bfloat16, inside a graph only.
 * - `int8`: whole numbers, one float32 factor for each row (each output).
 * - `int4`: blocks of 32 along a row, each with a float32 factor: 5 bits a weight. A byte holds a number of the first half of the rows
 *   and, in its high bits, one of the second half, whose factors are divided by 16 (dequantize4 in src/onnx/ops.ts).
 */
export type LinearFormat = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'int8-products' | 'int4'

/** Weights that share a factor. What GGUF's 4-bit types use as well. */
export const INT4_BLOCK = 32

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
    case 'int8-products': {
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
    case 'int4': {
      if (columns % INT4_BLOCK !== 0)
        throw new InputError(
          `precision qlora needs layers whose width is a multiple of ${INT4_BLOCK}, but ${name} takes ${columns} inputs; choose precision small or exact`,
        )
      if (rows % 2 !== 0)
        throw new InputError(
          `precision qlora needs an even number of rows, but ${name} has ${rows}; choose precision small or exact`,
        )
      const packed = new Uint8Array((rows * columns) / 2)
      const factors = new Float32Array((rows * columns) / INT4_BLOCK)
      for (const { values, start } of pieces(source, path)) toInt4(values, start, packed, factors)
      return [
        [name, { type: 'uint8', data: packed, shape: [rows / 2, columns] }],
        [`${name}.factors`, { type: 'float32', data: factors, shape: [rows, columns / INT4_BLOCK] }],
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

/**
 * As ggml's Q4_0: a block's factor is its value of largest magnitude / -8, so that this value is met exactly; an element is
 * factor·(n - 8) with n in 0..15. `values` begin at the matrix's element `first`.
 */
function toInt4(values: Float32Array, first: number, packed: Uint8Array, factors: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let start = 0; start < values.length; start += INT4_BLOCK) {
    let largest = 0
    let place = start
    for (let at = start; at < start + INT4_BLOCK; at++) {
      const magnitude = (bits[at] as number) & 0x7fffffff
      if (magnitude <= largest) continue
      largest = magnitude
      place = at
    }
    const extreme = values[place] as number
    const inverse = extreme === 0 ? 0 : -8 / extreme
    // A block lies within a row, and a row in one half.
    const isHigh = first + start >= packed.length
    const [shift, offset] = isHigh ? [4, first - packed.length] : [0, first]
    factors[(first + start) / INT4_BLOCK] = extreme / (isHigh ? -8 * 16 : -8)
    for (let at = start; at < start + INT4_BLOCK; at++) {
      const whole = ((values[at] as number) * inverse + 8.5) | 0
      packed[offset + at] = (packed[offset + at] as number) | ((whole > 15 ? 15 : whole) << shift)
    }
  }
}
