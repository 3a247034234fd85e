import { float32ToBfloat16 } from '../formats/numbers.ts'
import { pieces } from './read-pieces.ts'
import type { WeightSource } from './weights.ts'

/** A tensor as the bits of bfloat16: as it is stored where it is that, anything else rounded piece by piece. */
export function readBfloat16(source: WeightSource, name: string): Uint16Array {
  const info = source.infos.get(name)
  if (info?.type === 'BF16') {
    const { buffer, byteOffset, length } = source.bytes(name)
    return new Uint16Array(buffer, byteOffset, length / 2)
  }
  const numbers = new Uint16Array(info?.shape.reduce((a, b) => a * b, 1) ?? 0)
  for (const { values, start } of pieces(source, name)) numbers.set(float32ToBfloat16(values), start)
  return numbers
}
