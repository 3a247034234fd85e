import { InputError } from '../errors.ts'
import { float32ToHalf } from '../formats/numbers.ts'
import type { DataType, TensorData } from '../onnx/graph.ts'

/**
 * How the frozen matrices of a decoder layer lie in memory. What computes with them always sees float32, except that
 * `int8-gradients` also multiplies the gradients that flow back through them in int8.
 *
 * - `float16`: for bases that are stored in 16 bits. Half of float32.
 * - `int8`: whole numbers, one float32 factor for each row (each output).
 * - `int4`: blocks of 32 along a row, each with a float32 factor: 5 bits a weight.
 */
export type LinearFormat = 'float32' | 'float16' | 'int8' | 'int8-gradients' | 'int4'

/** Weights that share a factor. What GGUF's 4-bit types use as well. */
export const INT4_BLOCK = 32

export interface StoredTensor {
  type: DataType
  data: TensorData
  shape: readonly number[]
}

/** A matrix [out, in] in a format, by the names of frozenLinear's inputs. InputError where its width does not fit blocks. */
export function storeLinear(
  name: string,
  values: Float32Array,
  shape: readonly [number, number],
  format: LinearFormat,
): [string, StoredTensor][] {
  const [rows, columns] = shape
  switch (format) {
    case 'float32':
      return [[name, { type: 'float32', data: values, shape }]]
    case 'float16':
      return [[name, { type: 'float16', data: float32ToHalf(values), shape }]]
    case 'int8':
    case 'int8-gradients': {
      const { whole, factors } = toInt8(values, rows)
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
      const { packed, factors } = toInt4(values)
      return [
        [name, { type: 'uint8', data: packed, shape: [rows, columns / 2] }],
        [`${name}.factors`, { type: 'float32', data: factors, shape: [rows, columns / INT4_BLOCK] }],
      ]
    }
  }
}

/** Each row divided by its largest magnitude / 127. The factor of a row of zeros is 1. */
function toInt8(values: Float32Array, rows: number): { whole: Int8Array; factors: Float32Array } {
  const columns = values.length / rows
  const factors = new Float32Array(rows).fill(1)
  const whole = new Int8Array(values.length)
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * columns, (row + 1) * columns]
    let largest = 0
    for (let at = start; at < end; at++) largest = Math.max(largest, Math.abs(values[at] as number))
    if (largest === 0) continue
    factors[row] = largest / 127
    const inverse = 127 / largest
    for (let at = start; at < end; at++) whole[at] = Math.round((values[at] as number) * inverse)
  }
  return { whole, factors }
}

/**
 * As ggml's Q4_0: a block's factor is its value of largest magnitude / -8, so that this value is met exactly; an element is
 * factor·(n - 8) with n in 0..15. Two elements a byte, the earlier in the low half.
 */
function toInt4(values: Float32Array): { packed: Uint8Array; factors: Float32Array } {
  const factors = new Float32Array(values.length / INT4_BLOCK)
  const packed = new Uint8Array(values.length / 2)
  for (let block = 0; block < factors.length; block++) {
    const start = block * INT4_BLOCK
    let extreme = 0
    for (let at = start; at < start + INT4_BLOCK; at++) {
      const value = values[at] as number
      if (Math.abs(value) > Math.abs(extreme)) extreme = value
    }
    factors[block] = extreme / -8
    const inverse = extreme === 0 ? 0 : -8 / extreme
    for (let at = start; at < start + INT4_BLOCK; at += 2) {
      const low = Math.min(15, Math.round((values[at] as number) * inverse) + 8)
      const high = Math.min(15, Math.round((values[at + 1] as number) * inverse) + 8)
      packed[at >> 1] = low | (high << 4)
    }
  }
  return { packed, factors }
}
