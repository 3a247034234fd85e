import { type RewindInput, rewindTraining } from '../src/stages/prepare-retry.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function rewindTrainingActivity(place: WorkerPlace): (input: RewindInput) => Promise<void> {
  return stageActivity(place, 'retry', rewindTraining)
}
