import type { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '../model/config.ts'
import { vocabularyRows, type FrozenWeights, type VocabularyMatrix } from '../model/frozen-weights.ts'
import { HEAD_ROWS, headSlices } from '../model/head-slices.ts'
import { headFormat, headParts, type HeadParts } from '../model/head.ts'
import { profiledAs, Session, tensor } from '../onnx/session.ts'
import type { TokenLoss } from './engine.ts'
import type { HeadGradients, HeadOptions, HeadRows } from './head-gradients.ts'
import type { SupervisedRows } from './supervised-rows.ts'

interface Chunk extends HeadRows {
  places: Int32Array
}

/** The output head over the rows that predict a target: a chunk of rows at a time, a slice of the vocabulary at a time. */
export class HeadRunner {
  readonly #width: number
  readonly #options: HeadOptions
  readonly #parts: HeadParts
  readonly #norm: [string, Tensor]
  readonly #head: VocabularyMatrix
  readonly #smoothing: number
  readonly #gradients: HeadGradients | undefined
  /** The mean of the head's rows, for label smoothing. */
  #mean: Float32Array | undefined
  readonly #sessions = new Map<keyof HeadParts, Promise<Session>>()

  constructor(
    config: ModelConfig,
    { finalNorm, head }: FrozenWeights,
    options: HeadOptions,
    labelSmoothing = 0,
    gradients?: HeadGradients,
  ) {
    this.#gradients = gradients
    this.#width = config.hiddenSize
    this.#options = options
    this.#parts = headParts(config, headFormat(head))
    this.#norm = ['final_norm', tensor('float32', finalNorm.data, finalNorm.shape)]
    this.#head = head
    this.#smoothing = labelSmoothing
  }

  /** `x` [places, hidden], the last layer's output. Returns the sum of losses and its gradient by x, zero elsewhere. */
  async train(x: Tensor, supervised: SupervisedRows): Promise<TokenLoss & { dx: Tensor }> {
    const dx = new Float32Array(x.size)
    let lossSum = 0
    // Where the head is trained, it has changed since.
    if (this.#gradients) this.#mean = undefined
    for await (const chunk of this.#chunks(x, supervised)) {
      const rows = chunk.places.length
      const logSums = new Float64Array(rows).fill(-Infinity)
      const dh = new Float32Array(rows * this.#width)
      for (const { feeds } of this.#slices(rows)) {
        const outputs = await this.#run('learn', [['h', chunk.h], ...feeds])
        const [more, gradient] = [floats(outputs, 'logSum'), floats(outputs, 'dh')]
        for (let row = 0; row < rows; row++) {
          const { sum, before, share } = joined(logSums[row] as number, more[row] as number)
          logSums[row] = sum
          addScaled(dh, before, gradient, share, row * this.#width, (row + 1) * this.#width)
        }
      }
      const targets = this.#targets(chunk.labels)
      lossSum += lossOf(logSums, chunk.h, targets)
      for (let i = 0; i < dh.length; i++) dh[i] = (dh[i] as number) - (targets[i] as number)
      await this.#gradients?.add(chunk, logSums, dh)
      const finished = await this.#run('finish', [['x', chunk.x], ['dh', tensor('float32', dh, chunk.x.dims)]]) // prettier-ignore
      scatterRows(floats(finished, 'dx'), chunk.places, this.#width, dx)
    }
    return { lossSum, tokens: supervised.places.length, dx: tensor('float32', dx, x.dims) }
  }

  async evaluate(x: Tensor, supervised: SupervisedRows): Promise<TokenLoss & { correct: number }> {
    let lossSum = 0
    let correct = 0
    for await (const { labels, h } of this.#chunks(x, supervised)) {
      const logSums = new Float64Array(labels.length).fill(-Infinity)
      const largest = new Float32Array(labels.length).fill(-Infinity)
      const best = new Int32Array(labels.length)
      for (const { first, feeds } of this.#slices(labels.length)) {
        const outputs = await this.#run('score', [['h', h], ...feeds])
        const [more, highest] = [floats(outputs, 'logSum'), floats(outputs, 'largest')]
        const places = outputs.get('best')?.data as BigInt64Array
        for (let row = 0; row < labels.length; row++) {
          logSums[row] = joined(logSums[row] as number, more[row] as number).sum
          // The first of equal ones, as in one pass over all. Not a number is never larger.
          if (!((highest[row] as number) > (largest[row] as number))) continue
          largest[row] = highest[row] as number
          best[row] = first + Number(places[row])
        }
      }
      lossSum += lossOf(logSums, h, vocabularyRows(this.#head, labels))
      for (const [row, label] of labels.entries()) if (best[row] === label) correct++
    }
    return { lossSum, tokens: supervised.places.length, correct }
  }

  /** Of every row of x: [rows, vocabulary]. */
  async logits(x: Tensor): Promise<Float32Array> {
    const [rows, vocabulary] = [x.dims[0] as number, this.#head.shape[0] as number]
    const h = (await this.#run('normalise', [['x', x]])).get('h') as Tensor
    const logits = new Float32Array(rows * vocabulary)
    for (const { first, feeds } of this.#slices(rows)) {
      const part = floats(await this.#run('logits', [['h', h], ...feeds]), 'logits')
      const width = part.length / rows
      for (let row = 0; row < rows; row++)
        logits.set(part.subarray(row * width, (row + 1) * width), row * vocabulary + first)
    }
    return logits
  }

  async *#chunks(x: Tensor, supervised: SupervisedRows): AsyncGenerator<Chunk> {
    for (let start = 0; start < supervised.places.length; start += HEAD_ROWS) {
      const places = supervised.places.subarray(start, start + HEAD_ROWS)
      const labels = supervised.labels.subarray(start, start + HEAD_ROWS)
      const rows = gatherRows(x.data as Float32Array, places, this.#width)
      const taken = tensor('float32', rows, [places.length, this.#width])
      const h = (await this.#run('normalise', [['x', taken]])).get('h') as Tensor
      yield { places, labels, x: taken, h }
    }
  }

  #slices(rows: number) {
    return headSlices(this.#head, rows, this.#options.frugal)
  }

  /** What each row learns, as rows of the head: their product with h is the logit that the loss subtracts. */
  #targets(labels: Int32Array): Float32Array {
    const rows = vocabularyRows(this.#head, labels)
    if (this.#smoothing === 0) return rows
    this.#mean ??= meanRow(this.#head)
    for (let i = 0; i < rows.length; i++)
      rows[i] =
        (1 - this.#smoothing) * (rows[i] as number) +
        this.#smoothing * (this.#mean[i % this.#width] as number)
    return rows
  }

  async #run(part: keyof HeadParts, feeds: [string, Tensor][]): Promise<Map<string, Tensor>> {
    const session =
      this.#sessions.get(part) ?? Session.create(this.#parts[part], profiledAs(`head-${part}`, this.#options))
    this.#sessions.set(part, session)
    return (await session).run(new Map([this.#norm, ...feeds]))
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).dispose()
    await this.#gradients?.dispose()
  }
}

/** log(exp a + exp b), and the parts of it that a and b are. */
function joined(a: number, b: number): { sum: number; before: number; share: number } {
  const sum = Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))
  return { sum, before: Math.exp(a - sum), share: Math.exp(b - sum) }
}

function floats(outputs: ReadonlyMap<string, Tensor>, name: string): Float32Array {
  return outputs.get(name)?.data as Float32Array
}

/** sum = sum·before + more·share, from `start` up to `end`. */
function addScaled(
  sum: Float32Array,
  before: number,
  more: Float32Array,
  share: number,
  start: number,
  end: number,
): void {
  for (let i = start; i < end; i++) sum[i] = (sum[i] as number) * before + (more[i] as number) * share
}

/** The sum over the rows of log Σ exp z - h·target. */
function lossOf(logSums: Float64Array, { data }: Tensor, targets: Float32Array): number {
  const h = data as Float32Array
  const width = h.length / logSums.length
  let loss = 0
  for (const [row, logSum] of logSums.entries()) {
    let logit = 0
    for (let i = row * width; i < (row + 1) * width; i++) logit += (h[i] as number) * (targets[i] as number)
    loss += logSum - logit
  }
  return loss
}

function meanRow(matrix: VocabularyMatrix): Float32Array {
  const [vocabulary, width] = matrix.shape as [number, number]
  const sums = new Float64Array(width)
  for (let token = 0; token < vocabulary; token++) {
    const row = vocabularyRows(matrix, [token])
    for (let i = 0; i < width; i++) sums[i] = (sums[i] as number) + (row[i] as number)
  }
  return Float32Array.from(sums, (sum) => sum / vocabulary)
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
