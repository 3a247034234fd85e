import { type TrainInput, type TrainOutcome, train } from '../src/stages/train.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function trainActivity(place: WorkerPlace): (input: TrainInput) => Promise<TrainOutcome> {
  return stageActivity(place, 'train', train)
}
