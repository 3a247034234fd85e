import type { AdapterLayer } from '../model/adapter-layers.ts'
import type { TrainedInputs } from '../model/layer-functions.ts'
import type { Trained } from '../model/trained.ts'

/** What an engine trains, whole and by layers, over the same live arrays. */
export interface TrainedParts {
  trained: Trained
  layers: AdapterLayer[]
  trains: TrainedInputs
  /** 0 where there is no LoRA. */
  loraDropout: number
}
