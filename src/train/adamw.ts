import type { Trained } from '../model/trained.ts'
import {
  BLOCK,
  blocksOf,
  type DynamicMap,
  type Moment,
  readBlock,
  writeBlock,
  zeroMoment,
} from './blockwise-moment.ts'

export interface AdamWOptions {
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** LoRA+ (arXiv:2402.12354): how many times higher B's rate is than A's; as in PEFT, DoRA's magnitudes go with B. */
  loraplusLrRatio?: number
  /** Of the moments: 8 is bitsandbytes' adamw_8bit. */
  bits?: 8 | 32
}

/** Of one tensor, or of a block of it. */
interface Parts<M> {
  first: M
  second: M
  rate: number
  /** The factor on the values. */
  decay: number
}

/** All that AdamW remembers, by the names of what is trained: with it and the parameters, training goes on exactly. */
export interface AdamWState {
  /** Steps taken. */
  step: number
  /** Running means of the gradient and of its square. */
  first: Map<string, Moment>
  second: Map<string, Moment>
}

const MOMENT_MAPS: Readonly<Record<'first' | 'second', DynamicMap>> = {
  first: 'signed',
  second: 'unsigned',
}

/**
 * AdamW with decoupled weight decay (arXiv:1711.05101) as torch.optim.AdamW computes it, epsilon added after the bias correction
 * of the second moment. Matrices decay; norms and biases, which only method full trains, do not (transformers' Trainer). With moments of 8 bits each block is read, moved on and written back, as in
 * bitsandbytes.
 */
export class AdamW {
  readonly #options: AdamWOptions
  readonly #state: AdamWState
  readonly #firstBlock = new Float32Array(BLOCK)
  readonly #secondBlock = new Float32Array(BLOCK)

  /** Starts from zero, or goes on from a saved state (its arrays are taken over, not copied). */
  constructor(trained: Trained, options: AdamWOptions, state?: AdamWState) {
    this.#options = options
    const { bits = 32 } = options
    const zeros = (kind: 'first' | 'second') =>
      new Map(
        Array.from(trained.tensors, ([name, { data }]) => [
          name,
          zeroMoment(data.length, bits, MOMENT_MAPS[kind]),
        ]),
      )
    this.#state = state ?? { step: 0, first: zeros('first'), second: zeros('second') }
  }

  /** Live: copy it where it must outlast the next step. */
  get state(): Readonly<AdamWState> {
    return this.#state
  }

  /** One step, in place. Gradients by the names of what is trained, of its tensors' sizes. */
  step(trained: Trained, gradients: ReadonlyMap<string, Float32Array>, learningRate: number): void {
    const { loraplusLrRatio = 1 } = this.#options
    this.#state.step++
    for (const [name, { shape, data }] of trained.tensors) {
      const isFaster = name.includes('.lora_B.') || name.endsWith('.lora_magnitude_vector')
      const rate = isFaster ? learningRate * loraplusLrRatio : learningRate
      const gradient = gradients.get(name)
      const first = this.#state.first.get(name)
      const second = this.#state.second.get(name)
      if (
        !first ||
        !second ||
        [gradient?.length, sizeOf(first), sizeOf(second)].some((n) => n !== data.length)
      )
        throw new Error(`AdamW: ${name} has ${data.length} elements, but its gradient or its moments do not`)
      const decay = shape.length > 1 ? 1 - rate * this.#options.weightDecay : 1
      this.#move(data, gradient as Float32Array, { first, second, rate, decay })
    }
  }

  #move(data: Float32Array, gradient: Float32Array, parts: Parts<Moment>): void {
    const { first, second, rate, decay } = parts
    if (first instanceof Float32Array && second instanceof Float32Array)
      return this.#moveValues(data, gradient, { first, second, rate, decay })
    if (first instanceof Float32Array || second instanceof Float32Array)
      throw new Error('AdamW: one moment has 8 bits, the other 32')
    for (const [begin, end] of blocksOf(data.length)) {
      readBlock(first, MOMENT_MAPS.first, begin, end, this.#firstBlock)
      readBlock(second, MOMENT_MAPS.second, begin, end, this.#secondBlock)
      const part = (whole: Float32Array) => whole.subarray(begin, end)
      this.#moveValues(part(data), part(gradient), {
        first: this.#firstBlock,
        second: this.#secondBlock,
        rate,
        decay,
      })
      writeBlock(first, MOMENT_MAPS.first, begin, end, this.#firstBlock)
      writeBlock(second, MOMENT_MAPS.second, begin, end, this.#secondBlock)
    }
  }

  #moveValues(data: Float32Array, gradient: Float32Array, parts: Parts<Float32Array>): void {
    const { first, second, rate, decay } = parts
    const { beta1, beta2, epsilon } = this.#options
    const { step } = this.#state
    const correction = Math.sqrt(1 - beta2 ** step)
    const stepSize = rate / (1 - beta1 ** step)
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

function sizeOf(moment: Moment): number {
  return moment instanceof Float32Array ? moment.length : moment.codes.length
}
