import { type CleanInput, type CleanOutcome, clean } from '../src/stages/clean.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function cleanActivity(place: WorkerPlace): (input: CleanInput) => Promise<CleanOutcome> {
  return stageActivity(place, 'clean', clean)
}
