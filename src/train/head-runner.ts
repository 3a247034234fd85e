import type { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '../model/config.ts'
import type { FrozenWeights } from '../model/frozen-weights.ts'
import { headFunctions, type HeadFunctions } from '../model/head.ts'
import { profiledAs, Session, tensor, type SessionOptions } from '../onnx/session.ts'
import type { TokenLoss } from './engine.ts'
import type { SupervisedRows } from './supervised-rows.ts'

/**
 * Rows of the output head at a time: the logits of one chunk are all that is ever held. Each chunk reads the whole head
 * once, so that 256 rows are a fifth faster than 128, at 75 MB more for a vocabulary of 49152.
 */
const CHUNK = 256
const FRUGAL_CHUNK = 64

/** The output head over the rows that predict a target, in chunks. */
export class HeadRunner {
  readonly #width: number
  readonly #options: SessionOptions
  readonly #functions: HeadFunctions
  readonly #weights: readonly [string, Tensor][]
  readonly #sessions = new Map<keyof HeadFunctions, Promise<Session>>()

  constructor(
    config: ModelConfig,
    { finalNorm, head }: FrozenWeights,
    options: SessionOptions,
    labelSmoothing = 0,
  ) {
    this.#width = config.hiddenSize
    this.#options = options
    this.#functions = headFunctions(config, labelSmoothing)
    this.#weights = [
      ['final_norm', tensor('float32', finalNorm.data, finalNorm.shape)],
      ['head', tensor('float32', head.data, head.shape)],
    ]
  }

  /** `x` [places, hidden], the last layer's output. Returns the sum of losses and its gradient by x, zero elsewhere. */
  async train(x: Tensor, supervised: SupervisedRows): Promise<TokenLoss & { dx: Tensor }> {
    const dx = new Float32Array(x.size)
    let lossSum = 0
    for await (const { outputs, places } of this.#chunks('train', x, supervised)) {
      for (const loss of outputs.get('loss')?.data as Float32Array) lossSum += loss
      scatterRows(outputs.get('dx')?.data as Float32Array, places, this.#width, dx)
    }
    return { lossSum, tokens: supervised.places.length, dx: tensor('float32', dx, x.dims) }
  }

  async evaluate(x: Tensor, supervised: SupervisedRows): Promise<TokenLoss & { correct: number }> {
    let lossSum = 0
    let correct = 0
    for await (const { outputs, labels } of this.#chunks('evaluate', x, supervised)) {
      for (const loss of outputs.get('loss')?.data as Float32Array) lossSum += loss
      const best = outputs.get('best')?.data as BigInt64Array
      for (const [i, label] of labels.entries()) if (best[i] === label) correct++
    }
    return { lossSum, tokens: supervised.places.length, correct }
  }

  /** Of every row of x: [rows, vocabulary]. */
  async logits(x: Tensor): Promise<Float32Array> {
    const outputs = await (await this.#session('logits')).run(new Map([...this.#weights, ['x', x]]))
    return outputs.get('logits')?.data as Float32Array
  }

  async *#chunks(pass: 'train' | 'evaluate', x: Tensor, supervised: SupervisedRows) {
    const session = await this.#session(pass)
    const chunk = this.#options.frugal ? FRUGAL_CHUNK : CHUNK
    for (let start = 0; start < supervised.places.length; start += chunk) {
      const places = supervised.places.subarray(start, start + chunk)
      const labels = BigInt64Array.from(supervised.labels.subarray(start, start + chunk), BigInt)
      const rows = gatherRows(x.data as Float32Array, places, this.#width)
      const feeds = new Map([
        ...this.#weights,
        ['x', tensor('float32', rows, [places.length, this.#width])],
        ['labels', tensor('int64', labels, [places.length])],
      ] as const)
      yield { outputs: await session.run(feeds), places, labels }
    }
  }

  #session(pass: keyof HeadFunctions): Promise<Session> {
    const session =
      this.#sessions.get(pass) ??
      Session.create(this.#functions[pass], profiledAs(`head-${pass}`, this.#options))
    this.#sessions.set(pass, session)
    return session
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).dispose()
  }
}

function gatherRows(data: Float32Array, places: Int32Array, width: number): Float32Array {
  const rows = new Float32Array(places.length * width)
  for (const [i, place] of places.entries())
    rows.set(data.subarray(place * width, (place + 1) * width), i * width)
  return rows
}

function scatterRows(rows: Float32Array, places: Int32Array, width: number, data: Float32Array): void {
  for (const [i, place] of places.entries())
    data.set(rows.subarray(i * width, (i + 1) * width), place * width)
}
