import { INT4_BLOCK, storeLinear } from '../src/model/linear-format.ts'
import type { WeightSource } from '../src/model/weights.ts'
import { changedWeights } from '../test/support/changed-weights.ts'

/** The base that qlora trains on: the layers' matrices rounded to 4 bits, but as numbers, for float32 to compute with. */
export function roundedTo4Bits(source: WeightSource): WeightSource {
  return changedWeights(source, 'F32', ({ name, shape }) => {
    if (!name.endsWith('_proj.weight')) return source.float32(name)
    const [rows, columns] = shape as [number, number]
    const stored = new Map(storeLinear('w', source, name, [rows, columns], 'int4'))
    const packed = stored.get('w')?.data as Uint8Array
    const factors = stored.get('w.factors')?.data as Float32Array
    return Float32Array.from({ length: rows * columns }, (_, i) => {
      const byte = packed[i >> 1] as number
      const whole = i % 2 === 0 ? byte & 15 : byte >> 4
      return (factors[Math.floor(i / INT4_BLOCK)] as number) * (whole - 8)
    })
  })
}
