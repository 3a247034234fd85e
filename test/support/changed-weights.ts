import { float32ToBfloat16, float32ToHalf } from '../../src/formats/numbers.ts'
import type { WeightInfo, WeightSource } from '../../src/model/weights.ts'

/** The tensors of a source with other values (same shapes), stored under another type. For tests and benches. */
export function changedWeights(
  source: WeightSource,
  type: WeightInfo['type'],
  valuesOf: (info: WeightInfo) => Float32Array,
): WeightSource {
  const infos = new Map(
    Array.from(source.infos, ([name, info]): [string, WeightInfo] => [name, { ...info, type }]),
  )
  const float32 = (name: string): Float32Array => {
    const info = infos.get(name)
    // The source knows how to say that it is missing.
    return info ? valuesOf(info) : source.float32(name)
  }
  return {
    infos,
    float32,
    rows(name, from, to) {
      const values = float32(name)
      const width = values.length / (infos.get(name)?.shape[0] ?? 1)
      return values.slice(from * width, to * width)
    },
    bytes(name) {
      const values = float32(name)
      const stored =
        type === 'F16' ? float32ToHalf(values) : type === 'BF16' ? float32ToBfloat16(values) : values
      return new Uint8Array(stored.buffer)
    },
    fileOf: (name) => source.fileOf(name),
    close: () => source.close(),
  }
}
