import type { Adapter } from '../model/adapter.ts'

export interface AdamWOptions {
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** LoRA+ (arXiv:2402.12354): how many times higher B's rate is than A's. */
  loraplusLrRatio?: number
}

/** All that AdamW remembers, by the adapter's names: with it and the parameters, training goes on exactly. */
export interface AdamWState {
  /** Steps taken. */
  step: number
  /** Running means of the gradient and of its square. */
  first: Map<string, Float32Array>
  second: Map<string, Float32Array>
}

/**
 * AdamW with decoupled weight decay (arXiv:1711.05101) as torch.optim.AdamW computes it: every parameter decays, epsilon
 * is added after the bias correction of the second moment.
 */
export class AdamW {
  readonly #options: AdamWOptions
  readonly #state: AdamWState

  /** Starts from zero, or goes on from a saved state (its arrays are taken over, not copied). */
  constructor(adapter: Adapter, options: AdamWOptions, state?: AdamWState) {
    this.#options = options
    this.#state = state ?? { step: 0, first: zeros(adapter), second: zeros(adapter) }
  }

  /** Live: copy it where it must outlast the next step. */
  get state(): Readonly<AdamWState> {
    return this.#state
  }

  /** One step, in place. Gradients by the adapter's names, of its tensors' sizes. */
  step(adapter: Adapter, gradients: ReadonlyMap<string, Float32Array>, learningRate: number): void {
    const { beta1, beta2, epsilon, weightDecay, loraplusLrRatio = 1 } = this.#options
    const step = ++this.#state.step
    const correction = Math.sqrt(1 - beta2 ** step)
    for (const [name, { data }] of adapter.tensors) {
      const rate = name.includes('.lora_B.') ? learningRate * loraplusLrRatio : learningRate
      const decay = 1 - rate * weightDecay
      const stepSize = rate / (1 - beta1 ** step)
      const gradient = gradients.get(name)
      const first = this.#state.first.get(name)
      const second = this.#state.second.get(name)
      if (gradient?.length !== data.length || first?.length !== data.length || second?.length !== data.length)
        throw new Error(`AdamW: ${name} has ${data.length} elements, but its gradient or its moments do not`)
      for (let i = 0; i < data.length; i++) {
        const g = gradient[i] as number
        const m = beta1 * (first[i] as number) + (1 - beta1) * g
        const v = beta2 * (second[i] as number) + (1 - beta2) * g * g
        first[i] = m
        second[i] = v
        data[i] = (data[i] as number) * decay - (stepSize * m) / (Math.sqrt(v) / correction + epsilon)
      }
    }
  }
}

function zeros(adapter: Adapter): Map<string, Float32Array> {
  return new Map(Array.from(adapter.tensors, ([name, { data }]) => [name, new Float32Array(data.length)]))
}
