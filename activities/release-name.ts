import { releaseName, type ReleaseNameInput } from '../src/nightly/release-name.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function releaseNameActivity(place: WorkerPlace): (input: ReleaseNameInput) => Promise<void> {
  return stageActivity(place, 'release-name', releaseName)
}
