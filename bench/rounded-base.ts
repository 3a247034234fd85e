import { INT4_BLOCK, storeLinear } from '../src/model/linear-format.ts'
import type { WeightInfo, WeightSource } from '../src/model/weights.ts'

/** The base that qlora trains on: the layers' matrices rounded to 4 bits, but as numbers, for float32 to compute with. */
export function roundedTo4Bits(source: WeightSource): WeightSource {
  const infos = new Map(
    Array.from(source.infos, ([name, info]): [string, WeightInfo] => [name, { ...info, type: 'F32' }]),
  )
  const float32 = (name: string): Float32Array => {
    const [rows, columns] = (source.infos.get(name)?.shape ?? []) as [number, number]
    if (!name.endsWith('_proj.weight')) return source.float32(name)
    const stored = new Map(storeLinear('w', source, name, [rows, columns], 'int4'))
    const packed = stored.get('w')?.data as Uint8Array
    const factors = stored.get('w.factors')?.data as Float32Array
    return Float32Array.from({ length: rows * columns }, (_, i) => {
      const byte = packed[i >> 1] as number
      const whole = i % 2 === 0 ? byte & 15 : byte >> 4
      return (factors[Math.floor(i / INT4_BLOCK)] as number) * (whole - 8)
    })
  }
  return {
    infos,
    float32,
    rows(name, from, to) {
      const values = float32(name)
      const width = values.length / (infos.get(name)?.shape[0] ?? 1)
      return values.slice(from * width, to * width)
    },
    bytes: (name) => new Uint8Array(float32(name).buffer),
    fileOf: (name) => source.fileOf(name),
    close: () => source.close(),
  }
}
