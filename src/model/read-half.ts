import { bfloat16ToHalf, float32ToHalf } from '../formats/numbers.ts'
import { pieces } from './read-pieces.ts'
import type { WeightSource } from './weights.ts'

/** A tensor as halves: what is stored in 16 bits never becomes float32, anything else does so piece by piece. */
export function readHalf(source: WeightSource, name: string): Uint16Array {
  const info = source.infos.get(name)
  if (info?.type === 'F16' || info?.type === 'BF16') {
    const { buffer, byteOffset, length } = source.bytes(name)
    const bits = new Uint16Array(buffer, byteOffset, length / 2)
    return info.type === 'F16' ? bits : bfloat16ToHalf(bits)
  }
  const size = info?.shape.reduce((a, b) => a * b, 1) ?? 0
  const halves = new Uint16Array(size)
  for (const { values, start } of pieces(source, name)) float32ToHalf(values, halves.subarray(start))
  return halves
}
