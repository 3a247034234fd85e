import { type PublishInput, type PublishOutcome, publish } from '../src/stages/publish.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

export function publishActivity(place: WorkerPlace): (input: PublishInput) => Promise<PublishOutcome> {
  return stageActivity(place, 'publish', publish)
}
