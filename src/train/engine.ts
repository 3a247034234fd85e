import type { Adapter } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import type { Decoder } from '../model/decoder.ts'
import type { Checkpointing, Precision } from '../model/precision.ts'
import type { Trained } from '../model/trained.ts'
import type { WeightSource } from '../model/weights.ts'
import type { Device } from '../onnx/device.ts'
import type { Batch } from './batch.ts'

/**
 * Where the training step runs. `by-layer`: small sessions shared by all layers, weights passed as inputs, least memory
 * and fastest start, for CPUs. `whole`: one graph, frozen weights inside it, one call a step, for GPUs.
 */
export type Layout = 'by-layer' | 'whole'

/** Which dropout masks and which noise: the same counters give the same, so a resumed run draws what an undisturbed one had drawn. */
export interface DropoutCounters {
  seed: number
  /** The optimizer step, from 0. */
  step: number
  /** The micro-batch within the step, from 0. */
  microBatch: number
}

export interface TokenLoss {
  /** Sum of the targets' cross-entropy, in nats. */
  lossSum: number
  /** The number of targets. */
  tokens: number
}

/** A model with its adapter, ready to train or to evaluate. Not re-entrant: await each call. */
export interface Engine {
  /** Live tensors: the optimizer changes them in place and the next call uses them. Empty where nothing is trained. */
  readonly trained: Trained
  /** By the names of what is trained: d(sum of token losses)/d(tensor), summed over the accumulate() calls since zeroGradients(). */
  readonly gradients: ReadonlyMap<string, Float32Array>
  /**
   * Forward and backward of one micro-batch. `progress` is called with 1..layers after each layer, forward and backward.
   * Without `dropout` nothing is dropped and no noise added, whatever the adapter's lora_dropout and NEFTune's alpha. A non-finite loss is returned as it is.
   * `lossScale`: for precision fp16, by how much the mean loss is larger while gradients flow back. They come out as without it, or not finite.
   */
  accumulate(
    batch: Batch,
    progress?: (layer: number) => void,
    dropout?: DropoutCounters,
    lossScale?: number,
  ): Promise<TokenLoss>
  zeroGradients(): void
  /** Forward only. `correct`: targets that are the model's first choice. */
  evaluate(batch: Batch): Promise<TokenLoss & { correct: number }>
  /** The largest absolute value of each layer's output, NaN where one is NaN: where numbers grew, when a loss is not finite. */
  largestActivations(batch: Batch): Promise<number[]>
  /** [rows, length, vocabulary], of every place. For checks on small inputs: evaluate() never holds so much. */
  logits(batch: Batch): Promise<Float32Array>
  /** Token by token with a key-value cache, on the same weights and the live adapter. Dispose of it before the engine. */
  decoder(): Promise<Decoder>
  dispose(): Promise<void>
}

/** What makes training harder than the task. Evaluation never has any of it. */
export interface Regularization {
  /** transformers' label_smoothing_factor: the share of the target that is spread over the vocabulary. */
  labelSmoothing: number
  /** NEFTune (arXiv:2310.05914): alpha of the noise on the embeddings. */
  neftuneNoiseAlpha: number
}

export interface EngineOptions {
  config: ModelConfig
  /** Stays open as long as the engine is used: what is needed by rows is read when it is needed. */
  weights: WeightSource
  /** What is trained: an adapter, or all weights (float32 throughout, layout by-layer). Undefined: the base model alone, for evaluation. */
  adapter: Adapter | 'all-weights' | undefined
  layout: Layout
  /** Undefined: the CPU. The CUDA device is for layout whole only. */
  device?: Device | undefined
  /** Undefined: float32 throughout, weights in float32 too, which is fastest for a few tokens at a time. */
  precision?: Precision
  /** Undefined: as the precision has it. Layout by-layer only. */
  checkpointing?: Checkpointing | undefined
  /** Some of the text to be trained on. Precision `fast` must have it, to find what it rounds by (smoothing.ts). */
  calibration?: Batch
  /** Threads of ONNX Runtime. Part of what makes a run repeatable bit for bit. */
  threads: number
  /** A folder that receives ONNX Runtime's profile of every session of layout by-layer, when the engine is disposed of. */
  profileTo?: string
  /** Nothing where it is left out. */
  regularization?: Regularization
}
