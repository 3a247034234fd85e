import { type LookInput, type LookOutcome, lookForRows } from '../src/nightly/look-for-rows.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function lookForRowsActivity(place: WorkerPlace): (input: LookInput) => Promise<LookOutcome> {
  return stageActivity(place, 'look-for-rows', lookForRows)
}
