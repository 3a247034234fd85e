import { type QuantizeInput, type QuantizeOutcome, quantize } from '../src/stages/quantize.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function quantizeActivity(place: WorkerPlace): (input: QuantizeInput) => Promise<QuantizeOutcome> {
  return stageActivity(place, 'quantize', quantize)
}
