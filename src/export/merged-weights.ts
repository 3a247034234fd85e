import { InputError } from '../errors.ts'
import { loraScale, type Adapter } from '../model/adapter.ts'
import { rowLengths } from '../model/row-lengths.ts'
import type { WeightInfo, WeightSource } from '../model/weights.ts'
import { adapterModules, type AdapterModule } from './adapter-modules.ts'

/**
 * The base's weights with the adapter merged in: W + scale · B · A, with DoRA its rows at their magnitudes, computed when a tensor is asked for, so that one is in memory
 * at a time. Sums run in float64 in a fixed order and are rounded to float32 once: the same bits on every machine.
 * A changed tensor is F32; the others are the base's own. Closing is left to whoever opened the base.
 * InputError where the adapter does not fit the base.
 */
export function mergedWeights(base: WeightSource, adapter: Adapter): WeightSource {
  const modules = adapterModules(adapter)
  const infos = new Map<string, WeightInfo>(base.infos)
  for (const [name, { a, b }] of modules) {
    const info = base.infos.get(name)
    const [out, size] = [b.shape[0], a.shape[1]]
    if (info?.shape.length !== 2 || info.shape[0] !== out || info.shape[1] !== size) {
      const found = info ? `a shape of [${info.shape.join(', ')}]` : 'no such tensor'
      throw new InputError(
        `the adapter changes ${name} of shape [${out}, ${size}] but the base model has ${found}; use the base that it was trained on`,
      )
    }
    infos.set(name, { ...info, type: 'F32' })
  }
  const float32 = (name: string): Float32Array => {
    const weight = base.float32(name)
    const module = modules.get(name)
    if (!module) return weight
    addProduct(weight, module, loraScale(adapter.config, name.replace(/\.weight$/, ''), module.a.shape[0]))
    if (module.magnitude) scaleRows(weight, module.magnitude)
    return weight
  }
  return {
    infos,
    float32,
    rows(name, from, to) {
      if (!modules.has(name)) return base.rows(name, from, to)
      const whole = float32(name)
      const width = whole.length / (infos.get(name)?.shape[0] ?? 1)
      return whole.slice(from * width, to * width)
    },
    bytes: (name) => (modules.has(name) ? new Uint8Array(float32(name).buffer) : base.bytes(name)),
    fileOf: (name) => base.fileOf(name),
    close: () => {},
  }
}

/** DoRA: each row at the length that its magnitude says. A row of zeros has no direction and stays. */
function scaleRows(weight: Float32Array, magnitude: Float32Array): void {
  const width = weight.length / magnitude.length
  for (const [row, length] of rowLengths(weight, width).entries()) {
    const factor = length > 0 ? (magnitude[row] as number) / length : 0
    for (let i = row * width; i < (row + 1) * width; i++) weight[i] = (weight[i] as number) * factor
  }
}

/** weight [out, in] += scale · b [out, r] · a [r, in], in place. */
function addProduct(weight: Float32Array, { a, b }: AdapterModule, scale: number): void {
  const [r, size] = a.shape
  const row = new Float64Array(size)
  for (let out = 0; out < b.shape[0]; out++) {
    row.fill(0)
    let k = 0
    // Four of A's rows at a time: a quarter of the loads and stores of the running sums, twice as fast.
    for (; k + 4 <= r; k += 4) {
      const at = out * r + k
      const [b0, b1, b2, b3] = [
        b.data[at] as number,
        b.data[at + 1] as number,
        b.data[at + 2] as number,
        b.data[at + 3] as number,
      ]
      const [a0, a1, a2, a3] = [k * size, (k + 1) * size, (k + 2) * size, (k + 3) * size]
      for (let j = 0; j < size; j++)
        row[j] =
          (row[j] as number) +
          b0 * (a.data[a0 + j] as number) +
          b1 * (a.data[a1 + j] as number) +
          b2 * (a.data[a2 + j] as number) +
          b3 * (a.data[a3 + j] as number)
    }
    for (; k < r; k++) {
      const factor = b.data[out * r + k] as number
      for (let j = 0; j < size; j++) row[j] = (row[j] as number) + factor * (a.data[k * size + j] as number)
    }
    const start = out * size
    for (let j = 0; j < size; j++)
      weight[start + j] = (weight[start + j] as number) + scale * (row[j] as number)
  }
}
