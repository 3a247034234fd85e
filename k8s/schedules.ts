import type { NightlyJob } from '../workflows/nightly-job.ts'
import type { LastNight } from './fine-tune-schedule-resource.ts'

/** A schedule as Temporal has it. */
export interface ScheduleView {
  paused: boolean
  /** Why it is paused, or was resumed. */
  note: string | undefined
  nextTime: Date | undefined
  /** The night that began last. */
  last: { workflowId: string; time: Date } | undefined
}

/** What the reconciler does with Temporal. TransientError where it does not answer. */
export interface Schedules {
  /** Undefined where there is none of this name. */
  look(name: string): Promise<ScheduleView | undefined>
  /** Starts the schedule, or makes it another one; `paused` undefined leaves a schedule as it is in this. */
  put(job: NightlyJob, paused: boolean | undefined): Promise<void>
  /** Another schedule that publishes the model. */
  rivalOf(job: NightlyJob): Promise<string | undefined>
  /** How a night has ended, or that it runs. */
  night(workflowId: string): Promise<Pick<LastNight, 'end' | 'why' | 'version'>>
  /** Its model's name is free afterwards, as soon as a worker is there to say so in the store. */
  remove(name: string, model: string): Promise<void>
}
