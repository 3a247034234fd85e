import type { JobView } from '../jobs/job-view.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'

/** A FineTune's workflow is named after the resource's UID: a resource that is deleted and made again is another job. */
export interface Jobs {
  /** Undefined where there is no such workflow. TransientError where the engine does not answer. */
  find(uid: string): Promise<JobView | undefined>
  /** Starts it unless it runs already. `again`: one that has ended may be begun anew. */
  start(request: JobStart): Promise<void>
  /** Asks it to save its state and to end. Nothing happens where it has ended. */
  cancel(uid: string): Promise<void>
  /** Ends it without asking its workers, of which there is none: a cancellation would wait for one. */
  abandon(uid: string): Promise<void>
}

export interface JobStart {
  uid: string
  name: string
  spec: FineTuneSpec
  trainingQueue: string
  again: boolean
}
