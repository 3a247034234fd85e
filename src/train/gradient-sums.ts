import type { Tensor } from 'onnxruntime-node'
import type { Trained } from '../model/trained.ts'

/** The gradients of what is trained, summed over micro-batches. */
export class GradientSums {
  /** By the names of what is trained. */
  readonly sums: ReadonlyMap<string, Float32Array>

  constructor({ tensors }: Trained) {
    this.sums = new Map(Array.from(tensors, ([name, { data }]) => [name, new Float32Array(data.length)]))
  }

  add(name: string, gradient: Tensor | undefined, factor = 1): void {
    const sum = this.sums.get(name)
    const data = gradient?.data as Float32Array | undefined
    if (!sum || !data || sum.length !== data.length)
      throw new Error(`the gradient of ${name} has not its size`)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + factor * (data[i] as number)
  }

  zero(): void {
    for (const sum of this.sums.values()) sum.fill(0)
  }
}
