import type { Tensor } from 'onnxruntime-node'
import type { Adapter } from '../model/adapter.ts'

/** The gradients of an adapter, summed over micro-batches. */
export class GradientSums {
  /** By the adapter's names. */
  readonly sums: ReadonlyMap<string, Float32Array>

  constructor({ tensors }: Adapter) {
    this.sums = new Map(Array.from(tensors, ([name, { data }]) => [name, new Float32Array(data.length)]))
  }

  add(name: string, gradient: Tensor | undefined): void {
    const sum = this.sums.get(name)
    const data = gradient?.data as Float32Array | undefined
    if (!sum || !data || sum.length !== data.length)
      throw new Error(`the gradient of ${name} has not its size`)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (data[i] as number)
  }

  zero(): void {
    for (const sum of this.sums.values()) sum.fill(0)
  }
}
