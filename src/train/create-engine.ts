import { adapterLayers } from '../model/adapter-layers.ts'
import type { Adapter } from '../model/adapter.ts'
import { loadFrozenWeights } from '../model/frozen-weights.ts'
import { ByLayerEngine } from './engine-by-layer.ts'
import { WholeEngine } from './engine-whole.ts'
import type { Engine, EngineOptions } from './engine.ts'

const NO_ADAPTER: Adapter = {
  config: { r: 1, loraAlpha: 1, loraDropout: 0, targetModules: [], useRslora: false },
  tensors: new Map(),
}

/** Loads the weights and makes ready to run. InputError where weights, config and adapter do not fit each other. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { config, layout, threads, adapter = NO_ADAPTER } = options
  const layers = adapterLayers(config, adapter)
  const weights = loadFrozenWeights(config, options.weights)
  switch (layout) {
    case 'by-layer':
      return new ByLayerEngine(config, weights, adapter, layers, threads)
    case 'whole':
      return new WholeEngine(config, weights, adapter, layers, threads)
  }
}
