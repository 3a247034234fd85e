import type { Tensor } from 'onnxruntime-node'
import type { AdapterLayer } from '../model/adapter-layers.ts'
import type { ComputeType } from '../model/layer.ts'
import type { ModelConfig } from '../model/config.ts'
import type { Decoder } from '../model/decoder.ts'
import { checkTokens, type FrozenWeights } from '../model/frozen-weights.ts'
import type { Trained } from '../model/trained.ts'
import { createWholeDecoder } from '../model/whole-decoder.ts'
import { evaluationGraph, trainingGraph } from '../model/whole-graph.ts'
import { Session, type SessionOptions, tensor } from '../onnx/session.ts'
import { batchTensors } from './batch-tensors.ts'
import type { Batch } from './batch.ts'
import { dropoutMasks } from './dropout-mask.ts'
import { embeddingNoise } from './embedding-noise.ts'
import type { DropoutCounters, Engine, Regularization, TokenLoss } from './engine.ts'
import { GradientSums } from './gradient-sums.ts'
import { largestAbsolute } from './largest-absolute.ts'
import type { TrainedParts } from './trained-parts.ts'
import { supervisedRows, type SupervisedRows } from './supervised-rows.ts'

type Kind = 'train' | 'regularized' | 'loss' | 'logits' | 'activations'

/**
 * One graph a step: forward, backward and the adapter's gradients in one call, the frozen weights inside the session.
 * Sessions are made when first needed; each holds the weights.
 */
export class WholeEngine implements Engine {
  readonly trained: Trained
  readonly #config: ModelConfig
  readonly #options: SessionOptions
  readonly #weights: FrozenWeights
  readonly #layers: readonly AdapterLayer[]
  readonly #loraDropout: number
  readonly #compute: ComputeType
  readonly #sums: GradientSums
  readonly #regularization: Regularization
  readonly #sessions = new Map<Kind, Promise<Session>>()

  constructor(
    config: ModelConfig,
    weights: FrozenWeights,
    { trained, layers, loraDropout }: TrainedParts,
    compute: ComputeType,
    options: SessionOptions,
    regularization: Regularization,
  ) {
    this.#regularization = regularization
    this.trained = trained
    this.#loraDropout = loraDropout
    this.#compute = compute
    this.#config = config
    this.#options = options
    this.#weights = weights
    this.#layers = layers
    this.#sums = new GradientSums(trained)
  }

  get gradients(): ReadonlyMap<string, Float32Array> {
    return this.#sums.sums
  }

  zeroGradients(): void {
    this.#sums.zero()
  }

  async accumulate(
    batch: Batch,
    progress?: (layer: number) => void,
    dropout?: DropoutCounters,
    lossScale = 1,
  ): Promise<TokenLoss> {
    const supervised = supervisedRows(batch)
    // torch scales the mean of the losses.
    const scale = this.#compute === 'float32' ? 1 : lossScale / Math.max(1, supervised.places.length)
    const probability = dropout ? this.#loraDropout : 0
    const masks: [string, Tensor][] =
      dropout && probability > 0
        ? this.#layers.flatMap((layer, i) =>
            dropoutMasks(this.#config, batch.rows * batch.length, layer, i, probability, dropout).map(
              ([name, mask]): [string, Tensor] => [`${i}.${name}`, mask],
            ),
          )
        : []
    const { neftuneNoiseAlpha } = this.#regularization
    if (dropout && neftuneNoiseAlpha > 0)
      masks.push(['noise', embeddingNoise(batch, this.#config.hiddenSize, neftuneNoiseAlpha, dropout)])
    const outputs = await this.#run(masks.length > 0 ? 'regularized' : 'train', batch, [
      ...supervisedTensors(supervised),
      ...masks,
      ['scale', tensor('float32', Float32Array.of(scale), [])],
    ])
    for (const name of this.gradients.keys())
      this.#sums.add(name, outputs.get(`${name}.gradient`), 1 / Math.fround(scale))
    progress?.(this.#config.layers)
    return { lossSum: sumOf(outputs.get('loss')), tokens: supervised.places.length }
  }

  async evaluate(batch: Batch): Promise<TokenLoss & { correct: number }> {
    const supervised = supervisedRows(batch)
    const outputs = await this.#run('loss', batch, supervisedTensors(supervised))
    const best = outputs.get('best')?.data as BigInt64Array
    const correct = supervised.labels.reduce(
      (count, label, i) => count + (Number(best[i]) === label ? 1 : 0),
      0,
    )
    return { lossSum: sumOf(outputs.get('loss')), tokens: supervised.places.length, correct }
  }

  async largestActivations(batch: Batch): Promise<number[]> {
    const outputs = await this.#run('activations', batch, [])
    return this.#layers.map((_, i) => largestAbsolute(outputs.get(`y.${i}`)?.data as Float32Array))
  }

  async logits(batch: Batch): Promise<Float32Array> {
    return (await this.#run('logits', batch, [])).get('logits')?.data as Float32Array
  }

  decoder(): Promise<Decoder> {
    return createWholeDecoder(this.#config, this.#weights, this.#layers, this.#compute, this.#options)
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).dispose()
  }

  async #run(kind: Kind, batch: Batch, more: Iterable<[string, Tensor]>): Promise<Map<string, Tensor>> {
    const { rows, length, inputIds } = batch
    checkTokens(inputIds, this.#config.vocabularySize)
    const feeds = new Map([
      ...batchTensors(this.#config, batch, 'given', 1),
      ['input_ids', tensor('int64', BigInt64Array.from(inputIds, BigInt), [rows, length])],
      ...more,
    ])
    for (const [name, { shape, data }] of this.trained.tensors)
      feeds.set(name, tensor('float32', data, shape))
    return (await this.#session(kind)).run(feeds)
  }

  #session(kind: Kind): Promise<Session> {
    const session = this.#sessions.get(kind) ?? Session.create(this.#graph(kind), this.#options)
    this.#sessions.set(kind, session)
    return session
  }

  #graph(kind: Kind) {
    const model = {
      config: this.#config,
      weights: this.#weights,
      layers: this.#layers,
      compute: this.#compute,
    }
    const { labelSmoothing, neftuneNoiseAlpha } = this.#regularization
    switch (kind) {
      case 'train':
        return trainingGraph(model, { labelSmoothing, dropout: 0, noise: false })
      case 'regularized':
        return trainingGraph(model, {
          labelSmoothing,
          dropout: this.#loraDropout,
          noise: neftuneNoiseAlpha > 0,
        })
      case 'loss':
      case 'logits':
      case 'activations':
        return evaluationGraph(model, kind)
    }
  }
}

function supervisedTensors({ places, labels }: SupervisedRows): [string, Tensor][] {
  return [
    ['places', tensor('int64', BigInt64Array.from(places, BigInt), [places.length])],
    ['labels', tensor('int64', BigInt64Array.from(labels, BigInt), [labels.length])],
  ]
}

function sumOf(losses: Tensor | undefined): number {
  let sum = 0
  for (const loss of losses?.data as Float32Array) sum += loss
  return sum
}
