import { adapterLayers } from '../model/adapter-layers.ts'
import type { Adapter } from '../model/adapter.ts'
import { InputError } from '../errors.ts'
import { calibrate } from '../model/calibrate.ts'
import { causalBlocks } from '../model/causal-blocks.ts'
import { embed, layerWeights, loadFrozenWeights } from '../model/frozen-weights.ts'
import { precisionPlan, type PrecisionPlan } from '../model/precision.ts'
import { tensor } from '../onnx/session.ts'
import { attentionKind, batchTensors } from './batch-tensors.ts'
import { ByLayerEngine } from './engine-by-layer.ts'
import { WholeEngine } from './engine-whole.ts'
import type { Engine, EngineOptions } from './engine.ts'
import { padBatch } from './padded-batch.ts'

const NO_REGULARIZATION = { labelSmoothing: 0, neftuneNoiseAlpha: 0 }

const NO_ADAPTER: Adapter = {
  config: { r: 1, loraAlpha: 1, loraDropout: 0, targetModules: [], useRslora: false },
  tensors: new Map(),
}

/** Loads the weights and makes ready to run. InputError where weights, config and adapter do not fit each other. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { config, layout, threads, adapter = NO_ADAPTER, regularization = NO_REGULARIZATION } = options
  const layers = adapterLayers(config, adapter)
  const plan = planOf(options)
  const smoothing = plan.linear === 'int8-products' ? await findSmoothing(options) : undefined
  const weights = loadFrozenWeights(config, options.weights, {
    linear: plan.linear,
    wholeEmbedding: layout === 'whole',
    ...(smoothing && { smoothing }),
  })
  switch (layout) {
    case 'by-layer':
      return new ByLayerEngine(config, weights, adapter, layers, plan, regularization, {
        threads,
        frugal: plan.frugal,
        ...(options.profileTo !== undefined && { profileTo: options.profileTo }),
      })
    case 'whole':
      return new WholeEngine(config, weights, adapter, layers, threads, regularization)
  }
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

function planOf({ config, weights, layout, precision, checkpointing }: EngineOptions): PrecisionPlan {
  if (precision === undefined || (layout === 'whole' && precision === 'exact'))
    return { linear: 'float32', kept: 'float32', frugal: false }
  if (layout === 'whole')
    throw new InputError(
      `precision ${precision} is not made for layout whole; choose layout by-layer, or precision exact`,
    )
  return precisionPlan(precision, config, weights, checkpointing)
}
