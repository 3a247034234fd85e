import { ApplicationFailure } from '@temporalio/activity'
import { type TrainInput, type TrainOutcome, train } from '../src/stages/train.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

/** How a worker says that it leaves a training to others; the workflow asks for it by this name. */
export type DeclinedType = 'declined'
const DECLINED: DeclinedType = 'declined'

/** A worker on a node that the job avoids leaves it to others, before anything is begun. */
export function trainActivity(place: WorkerPlace): (input: TrainInput) => Promise<TrainOutcome> {
  const run = stageActivity(place, 'train', train)
  const node = place.environment.NODE_NAME
  return async (input) => {
    if (node && input.avoidNodes?.includes(node))
      throw ApplicationFailure.create({
        type: DECLINED,
        nonRetryable: true,
        message: `Node ${node} is avoided by job ${input.jobId} after bad hardware.`,
      })
    return run(input)
  }
}
