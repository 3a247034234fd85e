import { adapterLayers } from '../model/adapter-layers.ts'
import type { Adapter } from '../model/adapter.ts'
import { InputError } from '../errors.ts'
import { calibrate } from '../model/calibrate.ts'
import { causalBlocks } from '../model/causal-blocks.ts'
import { embed, layerWeights, loadFrozenWeights } from '../model/frozen-weights.ts'
import type { ComputeType } from '../model/layer.ts'
import { fullPlan, precisionPlan, type PrecisionPlan, wholePlan } from '../model/precision.ts'
import { trainedWeights } from '../model/trained-weights.ts'
import { executionProviders } from '../onnx/device.ts'
import { tensor, type SessionOptions } from '../onnx/session.ts'
import { attentionKind, batchTensors } from './batch-tensors.ts'
import { ByLayerEngine } from './engine-by-layer.ts'
import { WholeEngine } from './engine-whole.ts'
import type { Engine, EngineOptions } from './engine.ts'
import { padBatch } from './padded-batch.ts'
import type { TrainedParts } from './trained-parts.ts'

const NO_REGULARIZATION = { labelSmoothing: 0, neftuneNoiseAlpha: 0 }

/** Loads the weights and makes ready to run. InputError where weights, config and adapter do not fit each other. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { adapter, layout, device } = options
  if (device === 'cuda' && layout !== 'whole')
    throw new InputError(`layout ${layout} is made for device cpu; choose layout whole, or device cpu`)
  // Before anything is loaded.
  if (device) executionProviders(device)
  return adapter === 'all-weights' ? fullEngine(options) : loraEngine(options, adapter)
}

/** All weights are trained: they are float32, and what the layers compute with is what the optimizer moves. */
function fullEngine(options: EngineOptions): Engine {
  const { config, layout, precision = 'exact', checkpointing, regularization = NO_REGULARIZATION } = options
  if (layout === 'whole')
    throw new InputError('method full is made for layout by-layer only; choose that, or method lora')
  if (precision !== 'exact')
    throw new InputError(
      `precision ${precision} is of a frozen base, which method full has none of; choose precision exact, or method lora`,
    )
  const weights = loadFrozenWeights(config, options.weights, { linear: 'float32', wholeEmbedding: true })
  const parts: TrainedParts = { ...trainedWeights(config, weights), trains: 'weights', loraDropout: 0 }
  const plan = fullPlan(checkpointing)
  return new ByLayerEngine(config, weights, parts, plan, regularization, sessionOptions(options))
}

async function loraEngine(options: EngineOptions, adapter: Adapter | undefined): Promise<Engine> {
  const { config, layout, regularization = NO_REGULARIZATION } = options
  const parts: TrainedParts = {
    trained: adapter ?? { tensors: new Map() },
    layers: adapterLayers(config, adapter),
    trains: 'adapter',
    loraDropout: adapter?.config.loraDropout ?? 0,
  }
  const { compute, ...plan } = planOf(options)
  const smoothing = plan.linear === 'w8a8' ? await findSmoothing(options) : undefined
  const weights = loadFrozenWeights(config, options.weights, {
    linear: plan.linear,
    wholeEmbedding: layout === 'whole',
    ...(smoothing && { smoothing }),
  })
  switch (layout) {
    case 'by-layer':
      return new ByLayerEngine(config, weights, parts, plan, regularization, sessionOptions(options))
    case 'whole':
      return new WholeEngine(config, weights, parts, compute, sessionOptions(options), regularization)
  }
}

function sessionOptions(options: EngineOptions): SessionOptions {
  const { threads, device, profileTo } = options
  return { threads, device, ...(profileTo !== undefined && { profileTo }) }
}

async function findSmoothing({ config, weights, calibration, threads }: EngineOptions) {
  if (!calibration) throw new Error('precision fast needs text to find its smoothing factors')
  const blocks = causalBlocks(calibration.length)
  const batch = padBatch(calibration, blocks)
  const attention = attentionKind(batch)
  const x = embed(config, { at: 'file', source: weights }, batch.inputIds)
  return calibrate({
    config,
    layer: (index) => layerWeights(config, weights, index, 'float32'),
    common: batchTensors(config, batch, attention, blocks),
    x: tensor('float32', x, [batch.rows * batch.length, config.hiddenSize]),
    attention,
    blocks,
    threads,
  })
}

function planOf(options: EngineOptions): PrecisionPlan & { compute: ComputeType } {
  const { config, weights, layout, device, precision, checkpointing } = options
  if (layout === 'whole') {
    if (precision === 'bf16' && device !== 'cuda')
      throw new InputError('precision bf16 has no kernels on the CPU; choose device cuda, or precision exact')
    return { ...wholePlan(precision ?? 'exact'), kept: 'float32', frugal: false }
  }
  const plan: PrecisionPlan = precision
    ? precisionPlan(precision, config, weights, checkpointing)
    : { linear: 'float32', kept: 'float32', frugal: false }
  return { ...plan, compute: 'float32' }
}
