import type { JobView } from '../jobs/job-view.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import type { JobPriority } from '../workflows/job.ts'
import type { PriorityChange } from '../workflows/job-record.ts'
import type { ApprovalAnswer } from './fine-tune-resource.ts'
import type { PodReport } from '../workflows/pod-reports.ts'

/** A FineTune's workflow is named after the resource's UID: a resource that is deleted and made again is another job. */
export interface Jobs {
  /** Undefined where there is no such workflow. TransientError where the engine does not answer. */
  find(uid: string): Promise<JobView | undefined>
  /** Starts it unless it runs already. `again`: one that has ended may be begun anew. */
  start(request: JobStart): Promise<void>
  /** Asks it to save its state and to hold no machine until it is resumed. Nothing happens where it has ended. */
  pause(uid: string): Promise<void>
  resume(uid: string): Promise<void>
  /** Passes a person's answer on. Nothing happens where the job does not ask, or was answered. */
  answer(uid: string, answer: ApprovalAnswer): Promise<void>
  setPriority(uid: string, change: PriorityChange): Promise<void>
  /** Asks it to save its state and to end. Nothing happens where it has ended. */
  cancel(uid: string): Promise<void>
  /** Tells it what became of a pod. Nothing happens where it has ended. */
  report(uid: string, report: PodReport): Promise<void>
  /** Ends it without asking its workers, of which there is none: a cancellation would wait for one. */
  abandon(uid: string): Promise<void>
}

export interface JobStart {
  uid: string
  name: string
  spec: FineTuneSpec
  trainingQueue: string
  priority: JobPriority | undefined
  again: boolean
}
