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
    const multipliers = Int8Array.from(stored.get('w.multipliers')?.data as Uint8Array)
    const factors = stored.get('w.factors')?.data as Float32Array
    const half = packed.length
    return Float32Array.from({ length: 2 * half }, (_, i) => {
      const number = i < half ? (packed[i] as number) & 15 : (packed[i - half] as number) >> 4
      const [row, column] = [Math.floor(i / columns), i % columns]
      const multiplier = multipliers[Math.floor(row / INT4_BLOCK) * columns + column] as number
      return (factors[row] as number) * multiplier * (number - 8)
    })
  })
}
