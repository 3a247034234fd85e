import { numberToHalf } from './numbers.ts'

/**
 * float32 to Q8_0, bit for bit as ggml does (ggml-quants.c, quantize_row_q8_0_ref): blocks of 32, a half-precision scale of
 * largest magnitude / 127, then 32 signed bytes rounded half away from zero. `values.length` is a multiple of 32.
 */
export function quantizeQ8(values: Float32Array): Uint8Array<ArrayBuffer> {
  const count = values.length / 32
  if (!Number.isInteger(count)) throw new Error(`${values.length} numbers are not whole blocks of 32`)
  const out = new Uint8Array(count * 34)
  for (let block = 0; block < count; block++) {
    const from = block * 32
    let largest = 0
    for (let j = from; j < from + 32; j++) {
      const magnitude = Math.abs(values[j] as number)
      if (magnitude > largest) largest = magnitude
    }
    const scale = Math.fround(largest / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const at = block * 34
    const bits = numberToHalf(scale)
    out[at] = bits & 255
    out[at + 1] = bits >> 8
    for (let j = 0; j < 32; j++) {
      const scaled = Math.fround((values[from + j] as number) * inverse)
      out[at + 2 + j] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5)
    }
  }
  return out
}
