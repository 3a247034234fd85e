import { type ConcludeInput, concludeNight } from '../src/nightly/conclude-night.ts'
import type { NightRecord } from '../src/nightly/night-record.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function concludeNightActivity(place: WorkerPlace): (input: ConcludeInput) => Promise<NightRecord> {
  return stageActivity(place, 'conclude-night', concludeNight)
}
