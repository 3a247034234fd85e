import { GGML_TYPES, type GgmlType } from './ggml-types.ts'
import { bfloat16ToFloat32, halfToFloat32, halfToNumber } from './numbers.ts'

/**
 * Blocks of ggml to float32, bit for bit as ggml decodes them (ggml/src/ggml-quants.c, dequantize_row_*): each product here
 * is exact in float64, so rounding once to float32 at the end gives what ggml's float32 arithmetic gives.
 */
export function dequantize(type: GgmlType, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  switch (type) {
    case 'F32':
      return new Float32Array(aligned(bytes, 4))
    case 'F16':
      return halfToFloat32(new Uint16Array(aligned(bytes, 2)))
    case 'BF16':
      return bfloat16ToFloat32(new Uint16Array(aligned(bytes, 2)))
    case 'Q4_0':
      return blocks(type, bytes, q4_0)
    case 'Q4_1':
      return blocks(type, bytes, q4_1)
    case 'Q5_0':
      return blocks(type, bytes, q5_0)
    case 'Q5_1':
      return blocks(type, bytes, q5_1)
    case 'Q8_0':
      return blocks(type, bytes, q8_0)
    case 'Q4_K':
      return blocks(type, bytes, q4_K)
    case 'Q5_K':
      return blocks(type, bytes, q5_K)
    case 'Q6_K':
      return blocks(type, bytes, q6_K)
  }
}

/** Decodes the block that begins at byte `at` into the numbers from `to` on. */
type DecodeBlock = (b: Uint8Array, at: number, out: Float32Array, to: number) => void

function blocks(type: GgmlType, bytes: Uint8Array, decode: DecodeBlock): Float32Array {
  const { blockElements, blockBytes } = GGML_TYPES[type]
  const count = bytes.length / blockBytes
  const out = new Float32Array(count * blockElements)
  for (let i = 0; i < count; i++) decode(bytes, i * blockBytes, out, i * blockElements)
  return out
}

/** A buffer that starts at the bytes' first: a typed array needs its own alignment. */
function aligned(bytes: Uint8Array<ArrayBuffer>, width: number): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
  return whole && bytes.byteLength % width === 0 ? bytes.buffer : bytes.slice().buffer
}

function half(b: Uint8Array, at: number): number {
  return halfToNumber((b[at] as number) | ((b[at + 1] as number) << 8))
}

function int8(byte: number): number {
  return (byte << 24) >> 24
}

// In the formats of 32, byte j holds number j in its low four bits and number j + 16 in its high four.

function q4_0(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  for (let j = 0; j < 16; j++) {
    const q = b[at + 2 + j] as number
    out[to + j] = ((q & 15) - 8) * d
    out[to + 16 + j] = ((q >> 4) - 8) * d
  }
}

function q4_1(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  const m = half(b, at + 2)
  for (let j = 0; j < 16; j++) {
    const q = b[at + 4 + j] as number
    out[to + j] = (q & 15) * d + m
    out[to + 16 + j] = (q >> 4) * d + m
  }
}

function q5_0(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  const fifth = fifthBits(b, at + 2)
  for (let j = 0; j < 16; j++) {
    const q = b[at + 6 + j] as number
    out[to + j] = (((q & 15) | (((fifth >>> j) & 1) << 4)) - 16) * d
    out[to + 16 + j] = (((q >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16) * d
  }
}

function q5_1(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  const m = half(b, at + 2)
  const fifth = fifthBits(b, at + 4)
  for (let j = 0; j < 16; j++) {
    const q = b[at + 8 + j] as number
    out[to + j] = ((q & 15) | (((fifth >>> j) & 1) << 4)) * d + m
    out[to + 16 + j] = ((q >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) * d + m
  }
}

function fifthBits(b: Uint8Array, at: number): number {
  return (
    (b[at] as number) |
    ((b[at + 1] as number) << 8) |
    ((b[at + 2] as number) << 16) |
    ((b[at + 3] as number) << 24)
  )
}

function q8_0(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  for (let j = 0; j < 32; j++) out[to + j] = int8(b[at + 2 + j] as number) * d
}

// The K formats: 256 numbers in sub-blocks of 32 (Q4_K, Q5_K) or 16 (Q6_K), each with a scale of its own.

/** Six-bit scale and minimum of sub-block `j` of eight, packed into twelve bytes (get_scale_min_k4). */
function scaleOf(b: Uint8Array, at: number, j: number): number {
  return j < 4
    ? (b[at + j] as number) & 63
    : ((b[at + j + 4] as number) & 15) | (((b[at + j - 4] as number) >> 6) << 4)
}

function minimumOf(b: Uint8Array, at: number, j: number): number {
  return j < 4
    ? (b[at + j + 4] as number) & 63
    : ((b[at + j + 4] as number) >> 4) | (((b[at + j] as number) >> 6) << 4)
}

function q4_K(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  const dMinimum = half(b, at + 2)
  for (let j = 0; j < 8; j++) {
    const scale = d * scaleOf(b, at + 4, j)
    const minimum = dMinimum * minimumOf(b, at + 4, j)
    const q = at + 16 + (j >> 1) * 32 // two sub-blocks share 32 bytes: low halves, then high halves
    const shift = (j & 1) * 4
    for (let k = 0; k < 32; k++)
      out[to + j * 32 + k] = scale * (((b[q + k] as number) >> shift) & 15) - minimum
  }
}

function q5_K(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at)
  const dMinimum = half(b, at + 2)
  for (let j = 0; j < 8; j++) {
    const scale = d * scaleOf(b, at + 4, j)
    const minimum = dMinimum * minimumOf(b, at + 4, j)
    const q = at + 48 + (j >> 1) * 32
    const shift = (j & 1) * 4
    for (let k = 0; k < 32; k++) {
      const fifth = ((b[at + 16 + k] as number) >> j) & 1 // bit j of byte k belongs to number k of sub-block j
      out[to + j * 32 + k] = scale * ((((b[q + k] as number) >> shift) & 15) | (fifth << 4)) - minimum
    }
  }
}

function q6_K(b: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(b, at + 208)
  for (let n = 0; n < 2; n++) {
    const low = at + n * 64
    const high = at + 128 + n * 32
    const scales = at + 192 + n * 8
    for (let part = 0; part < 4; part++) {
      const shift = (part >> 1) * 4
      for (let k = 0; k < 32; k++) {
        const q =
          (((b[low + (part & 1) * 32 + k] as number) >> shift) & 15) |
          ((((b[high + k] as number) >> (part * 2)) & 3) << 4)
        const scale = d * int8(b[scales + part * 2 + (k >> 4)] as number)
        out[to + n * 128 + part * 32 + k] = scale * (q - 32)
      }
    }
  }
}
