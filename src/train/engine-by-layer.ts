import type { Tensor } from 'onnxruntime-node'
import type { AdapterLayer } from '../model/adapter-layers.ts'
import { causalBlocks } from '../model/causal-blocks.ts'
import type { ModelConfig } from '../model/config.ts'
import type { Decoder } from '../model/decoder.ts'
import { embed, EMBEDDING, FINAL_NORM, OUTPUT_HEAD, type FrozenWeights } from '../model/frozen-weights.ts'
import { createLayerDecoder } from '../model/layer-decoder.ts'
import { layerTensors } from '../model/layer-tensors.ts'
import type { PrecisionPlan } from '../model/precision.ts'
import type { Trained } from '../model/trained.ts'
import { free, tensor, type SessionOptions } from '../onnx/session.ts'
import { attentionKind, batchTensors } from './batch-tensors.ts'
import type { Batch } from './batch.ts'
import { dropoutMasks } from './dropout-mask.ts'
import { embeddingNoise } from './embedding-noise.ts'
import type { DropoutCounters, Engine, Regularization, TokenLoss } from './engine.ts'
import { GradientSums } from './gradient-sums.ts'
import { HeadGradients } from './head-gradients.ts'
import { HeadRunner } from './head-runner.ts'
import { LayerSessions, type LayerPass } from './layer-sessions.ts'
import { largestAbsolute } from './largest-absolute.ts'
import { padBatch, unpadRows } from './padded-batch.ts'
import type { TrainedParts } from './trained-parts.ts'
import { supervisedRows } from './supervised-rows.ts'

type RunLayer = (
  pass: LayerPass,
  layer: number,
  feeds: Iterable<[string, Tensor]>,
) => Promise<Map<string, Tensor>>

/**
 * Layer by layer: the sessions of one layer serve all of them, with each layer's weights passed in as they lie in memory.
 * A step runs the layers forward, keeping what their backward passes want, then the output head over the supervised
 * rows, then the layers backward, each letting go of what was kept for it.
 */
export class ByLayerEngine implements Engine {
  readonly trained: Trained
  readonly #config: ModelConfig
  readonly #threads: number
  readonly #weights: FrozenWeights
  readonly #layers: readonly AdapterLayer[]
  readonly #tensors: readonly Map<string, Tensor>[]
  readonly #sessions: LayerSessions
  readonly #head: HeadRunner
  readonly #sums: GradientSums
  readonly #noiseAlpha: number
  readonly #loraDropout: number
  /** Sums of the embedding's gradient, where it is trained. */
  readonly #embeddingSums: Float32Array | undefined

  constructor(
    config: ModelConfig,
    weights: FrozenWeights,
    { trained, layers, loraDropout, trains }: TrainedParts,
    plan: PrecisionPlan,
    { labelSmoothing, neftuneNoiseAlpha }: Regularization,
    options: SessionOptions,
  ) {
    this.#noiseAlpha = neftuneNoiseAlpha
    this.trained = trained
    this.#loraDropout = loraDropout
    this.#config = config
    this.#threads = options.threads
    this.#weights = weights
    this.#layers = layers
    this.#tensors = layers.map((layer, i) => layerTensors(weights, i, layer))
    this.#sessions = new LayerSessions(config, plan, options, trains)
    this.#sums = new GradientSums(trained)
    this.#embeddingSums = this.#sums.sums.get(EMBEDDING)
    const head = this.#sums.sums.get(config.tiedEmbeddings ? EMBEDDING : OUTPUT_HEAD)
    const finalNorm = this.#sums.sums.get(FINAL_NORM)
    const headOptions = { ...options, frugal: plan.frugal }
    const gradients =
      head &&
      finalNorm &&
      new HeadGradients(config, weights, { head, finalNorm }, labelSmoothing, headOptions)
    this.#head = new HeadRunner(config, weights, headOptions, labelSmoothing, gradients)
  }

  get gradients(): ReadonlyMap<string, Float32Array> {
    return this.#sums.sums
  }

  zeroGradients(): void {
    this.#sums.zero()
  }

  async accumulate(
    given: Batch,
    progress?: (layer: number) => void,
    dropout?: DropoutCounters,
  ): Promise<TokenLoss> {
    const batch = padBatch(given, causalBlocks(given.length))
    const run = this.#layerRunner(batch, dropout)
    const { layers } = this.#config
    const kept: Map<string, Tensor>[] = []
    let x = this.#embedded(batch)
    if (dropout && this.#noiseAlpha > 0)
      addNoise(x, embeddingNoise(batch, this.#config.hiddenSize, this.#noiseAlpha, dropout))
    for (let layer = 0; layer < layers; layer++) {
      const outputs = await run('keeping', layer, [['x', x]])
      const y = outputs.get('y') as Tensor
      outputs.delete('y')
      kept.push(outputs.set('x', x))
      x = y
      progress?.(layer + 1)
    }
    const { dx, ...loss } = await this.#head.train(x, supervisedRows(batch))
    free(x)
    let dy = dx
    for (let layer = layers - 1; layer >= 0; layer--) {
      const found = kept.pop() as Map<string, Tensor>
      const outputs = await run('backward', layer, [...found, ['dy', dy]])
      for (const used of [...found.values(), dy]) free(used)
      dy = outputs.get('dx') as Tensor
      for (const [input, { name }] of (this.#layers[layer] as AdapterLayer).tensors) {
        const gradient = outputs.get(`${input}.gradient`)
        this.#sums.add(name, gradient)
        free(gradient)
      }
      progress?.(layers - layer)
    }
    if (this.#embeddingSums) this.#addEmbeddingGradient(this.#embeddingSums, batch, dy)
    free(dy)
    return loss
  }

  /** A token's row learns from its places; padding's, as transformers has it (torch's padding_idx), from none. */
  #addEmbeddingGradient(sums: Float32Array, { inputIds }: Batch, dx: Tensor): void {
    const { hiddenSize, padTokenId } = this.#config
    const gradient = dx.data as Float32Array
    for (const [place, id] of inputIds.entries()) {
      if (id === padTokenId) continue
      for (let i = 0; i < hiddenSize; i++)
        sums[id * hiddenSize + i] =
          (sums[id * hiddenSize + i] as number) + (gradient[place * hiddenSize + i] as number)
    }
  }

  async evaluate(given: Batch): Promise<TokenLoss & { correct: number }> {
    const batch = padBatch(given, causalBlocks(given.length))
    return this.#head.evaluate(await this.#forward(batch), supervisedRows(batch))
  }

  async largestActivations(given: Batch): Promise<number[]> {
    const batch = padBatch(given, causalBlocks(given.length))
    const largest: number[] = []
    await this.#forward(batch, (y) => largest.push(largestAbsolute(y.data as Float32Array)))
    return largest
  }

  async logits(given: Batch): Promise<Float32Array> {
    const batch = padBatch(given, causalBlocks(given.length))
    return unpadRows(await this.#head.logits(await this.#forward(batch)), batch, given.length)
  }

  decoder(): Promise<Decoder> {
    return createLayerDecoder(this.#config, this.#weights, this.#layers, this.#threads)
  }

  async dispose(): Promise<void> {
    await this.#sessions.dispose()
    await this.#head.dispose()
  }

  async #forward(batch: Batch, each?: (y: Tensor) => void): Promise<Tensor> {
    const run = this.#layerRunner(batch)
    let x = this.#embedded(batch)
    for (let layer = 0; layer < this.#config.layers; layer++) {
      const before = x
      x = (await run('forward', layer, [['x', x]])).get('y') as Tensor
      free(before)
      each?.(x)
    }
    return x
  }

  #embedded(batch: Batch): Tensor {
    const rows = embed(this.#config, this.#weights.embedding, batch.inputIds)
    return tensor('float32', rows, [batch.rows * batch.length, this.#config.hiddenSize])
  }

  /** Runs a pass of a layer on a batch, with all that does not change from layer to layer made once. */
  #layerRunner(batch: Batch, dropout?: DropoutCounters): RunLayer {
    const [attention, blocks] = [attentionKind(batch), causalBlocks(batch.length)]
    const common = batchTensors(this.#config, batch, attention, blocks)
    const probability = dropout ? this.#loraDropout : 0
    const variant = { blocks, attention, dropout: probability }
    return async (pass, index, feeds) => {
      const layer = this.#layers[index] as AdapterLayer
      const session = await this.#sessions.get(pass, { layer, ...variant })
      const masks =
        dropout && probability > 0
          ? dropoutMasks(this.#config, batch.rows * batch.length, layer, index, probability, dropout)
          : []
      return session.run(new Map([...common, ...(this.#tensors[index] ?? []), ...masks, ...feeds]))
    }
  }
}

/** In place. */
function addNoise(x: Tensor, noise: Tensor): void {
  const [values, more] = [x.data as Float32Array, noise.data as Float32Array]
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + (more[i] as number)
}
