import { hostname } from 'node:os'
import { ApplicationFailure } from '@temporalio/activity'
import { type TrainInput, type TrainOutcome, train } from '../src/stages/train.ts'
import { stageActivity, type WorkerPlace } from './stage-activity.ts'

/** How a worker says that it leaves a training to others; the workflow asks for it by this name. */
export type DeclinedType = 'declined'
const DECLINED: DeclinedType = 'declined'

const declined = (message: string) =>
  ApplicationFailure.create({ type: DECLINED, nonRetryable: true, message })

/** A worker that the job avoids, or one on a node that it avoids, leaves it to others, before anything is begun. */
export function trainActivity(place: WorkerPlace): (input: TrainInput) => Promise<TrainOutcome> {
  const run = stageActivity(place, 'train', train)
  const node = place.environment.NODE_NAME
  return async (input) => {
    if (node && input.avoidNodes?.includes(node))
      throw declined(`Node ${node} is avoided by job ${input.jobId} after bad hardware.`)
    if (input.avoidWorkers?.includes(hostname()))
      throw declined(`Pod ${hostname()} is gone for the cluster, and job ${input.jobId} waits for another.`)
    return run(input)
  }
}
