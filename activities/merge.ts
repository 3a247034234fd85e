import { type MergeInput, type MergeOutcome, merge } from '../src/stages/merge.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function mergeActivity(place: WorkerPlace): (input: MergeInput) => Promise<MergeOutcome> {
  return stageActivity(place, 'merge', merge)
}
