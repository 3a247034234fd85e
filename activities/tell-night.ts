import { type TellInput, tellNight } from '../src/nightly/tell-night.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function tellNightActivity(place: WorkerPlace): (input: TellInput) => Promise<void> {
  return stageActivity(place, 'tell-night', tellNight)
}
