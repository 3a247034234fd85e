import { type SetAsideInput, setAside } from '../src/stages/prepare-retry.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function setAsideActivity(place: WorkerPlace): (input: SetAsideInput) => Promise<void> {
  return stageActivity(place, 'retry', setAside)
}
