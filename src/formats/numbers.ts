/**
 * Half precision (IEEE 754 binary16) and bfloat16 to float32 and back. Encoding rounds to nearest, ties to even,
 * as PyTorch and ggml do; NaN stays NaN (quiet), what is too large becomes an infinity.
 */

const scratchFloat = new Float32Array(1)
const scratchBits = new Uint32Array(scratchFloat.buffer)

/** Every half as a float32, built on first use (256 KiB): four times as fast as decoding bit by bit. */
let halfTable: Float32Array | undefined

function buildHalfTable(): Float32Array {
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24
    else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  }
  return table
}

/** The float32 of these bits. */
export function bitsToFloat32(bits: number): number {
  scratchBits[0] = bits
  return scratchFloat[0] as number
}

/** One half's bits as a number. */
export function halfToNumber(bits: number): number {
  halfTable ??= buildHalfTable()
  return halfTable[bits & 0xffff] as number
}

/** One number (rounded to float32 first) as a half's bits. */
export function numberToHalf(value: number): number {
  scratchFloat[0] = value
  const bits = scratchBits[0] as number
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 65520 is halfway between the largest half (65504) and 2^16: it and all above round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Below 2^-14 a half is subnormal: a whole number of 2^-24 (both factors are powers of two: exact in float64).
    const steps = Math.abs(scratchFloat[0]) * 2 ** 24
    const floor = Math.floor(steps)
    const rest = steps - floor
    return sign | (rest > 0.5 || (rest === 0.5 && floor & 1) ? floor + 1 : floor)
  }
  const rebased = magnitude - 0x38000000 // the exponent's bias from 127 to 15
  return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13)
}

export function halfToFloat32(halves: Uint16Array): Float32Array {
  halfTable ??= buildHalfTable()
  const table = halfTable
  const out = new Float32Array(halves.length)
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i] as number] as number
  return out
}

/** Into `out` where it is given, which has room for as many. */
export function float32ToHalf(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < values.length; i++) {
    const b = bits[i] as number
    const magnitude = b & 0x7fffffff
    // What becomes a normal half needs no more than its bits shifted and rounded.
    out[i] =
      magnitude >= 0x38800000 && magnitude < 0x477ff000
        ? ((b >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((b >>> 13) & 1)) >>> 13)
        : numberToHalf(values[i] as number)
  }
  return out
}

/** The half nearest to every bfloat16, built on first use (128 KiB). */
let halfOfBfloat16: Uint16Array | undefined

/** In place: the same elements as halves. bfloat16's 8 bits of fraction fit; below 2^-14 some are rounded, from 65520 on infinite. */
export function bfloat16ToHalf(values: Uint16Array): Uint16Array {
  halfOfBfloat16 ??= float32ToHalf(bfloat16ToFloat32(Uint16Array.from({ length: 65536 }, (_, bits) => bits)))
  const table = halfOfBfloat16
  for (let i = 0; i < values.length; i++) values[i] = table[values[i] as number] as number
  return values
}

export function bfloat16ToFloat32(values: Uint16Array): Float32Array {
  const bits = new Uint32Array(values.length)
  for (let i = 0; i < values.length; i++) bits[i] = (values[i] as number) << 16
  return new Float32Array(bits.buffer)
}

export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const b = bits[i] as number
    out[i] = (b & 0x7fffffff) > 0x7f800000 ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16
  }
  return out
}
