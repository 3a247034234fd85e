import type { FineTuneScheduleSpec } from '../src/spec/fine-tune-schedule.ts'
import type { FineTuneJob } from './job.ts'

/** What every night of a schedule is started with. */
export interface NightlyJob extends Pick<
  FineTuneJob,
  'trainingQueue' | 'heartbeatSeconds' | 'searchAttributes'
> {
  /** The schedule's name. */
  schedule: string
  /** Paths absolute, defaults filled in. */
  spec: FineTuneScheduleSpec
}
