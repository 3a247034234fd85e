import type { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '../model/config.ts'
import type { FrozenWeights } from '../model/frozen-weights.ts'
import { headGradientParts, type HeadGradientParts } from '../model/head-gradient-parts.ts'
import { headSlices } from '../model/head-slices.ts'
import { free, profiledAs, Session, tensor, type SessionOptions } from '../onnx/session.ts'

/** `frugal`: the vocabulary is taken in smaller slices. */
export type HeadOptions = SessionOptions & { frugal?: boolean }

/** Of rows that pass the head together: before and after the final norm, and what each is to predict. */
export interface HeadRows {
  labels: Int32Array
  x: Tensor
  h: Tensor
}

/** Where the gradients are added up, by the sum of losses. */
export interface HeadSums {
  finalNorm: Float32Array
  /** [vocabulary, hidden] */
  head: Float32Array
}

/** The gradients of the final norm and of the output head, where all weights are trained. */
export class HeadGradients {
  readonly #weights: Pick<FrozenWeights, 'finalNorm' | 'head'>
  readonly #sums: HeadSums
  readonly #smoothing: number
  readonly #options: HeadOptions
  readonly #parts: HeadGradientParts
  readonly #sessions = new Map<keyof HeadGradientParts, Promise<Session>>()

  constructor(
    config: ModelConfig,
    weights: Pick<FrozenWeights, 'finalNorm' | 'head'>,
    sums: HeadSums,
    labelSmoothing: number,
    options: HeadOptions,
  ) {
    this.#weights = weights
    this.#sums = sums
    this.#smoothing = labelSmoothing
    this.#options = options
    this.#parts = headGradientParts(config)
  }

  /** `logSums`: of each row's logits, over the whole vocabulary; `dh` [rows, hidden]: the loss's gradient by h. */
  async add({ labels, x, h }: HeadRows, logSums: Float64Array, dh: Float32Array): Promise<void> {
    const { finalNorm, head } = this.#weights
    const logSum = tensor('float32', Float32Array.from(logSums), [logSums.length, 1])
    const width = head.shape[1] as number
    for (const slice of headSlices(head, labels.length, this.#options.frugal)) {
      const gradient = await this.#run('matrix', { h, logSum, ...Object.fromEntries(slice.feeds) })
      addTo(this.#sums.head, slice.first * width, gradient.data as Float32Array)
      free(gradient)
    }
    this.#subtractTargets(labels, h.data as Float32Array, width)
    const feeds = { x, final_norm: tensor('float32', finalNorm.data, finalNorm.shape), dh: tensor('float32', dh, x.dims) } // prettier-ignore
    addTo(this.#sums.finalNorm, 0, (await this.#run('norm', feeds)).data as Float32Array)
  }

  /** The loss is logSum - h·target, and the target a mean of rows of the head: the label's, and with smoothing all. */
  #subtractTargets(labels: Int32Array, h: Float32Array, width: number): void {
    const sums = this.#sums.head
    const all = new Float32Array(width)
    for (const [row, label] of labels.entries())
      for (let i = 0; i < width; i++) {
        const value = h[row * width + i] as number
        const at = label * width + i
        sums[at] = (sums[at] as number) - (1 - this.#smoothing) * value
        all[i] = (all[i] as number) + value
      }
    if (this.#smoothing === 0) return
    const share = this.#smoothing / (sums.length / width)
    for (let at = 0; at < sums.length; at++)
      sums[at] = (sums[at] as number) - share * (all[at % width] as number)
  }

  async #run(part: keyof HeadGradientParts, feeds: Record<string, Tensor>): Promise<Tensor> {
    const session =
      this.#sessions.get(part) ??
      Session.create(this.#parts[part], profiledAs(`head-${part}-gradient`, this.#options))
    this.#sessions.set(part, session)
    return (await (await session).run(new Map(Object.entries(feeds)))).get('gradient') as Tensor
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).dispose()
  }
}

function addTo(sums: Float32Array, start: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    sums[start + i] = (sums[start + i] as number) + (values[i] as number)
}
