import {
  type Client,
  type ScheduleOptions,
  type ScheduleOptionsStartWorkflowAction,
  type ScheduleOverlapPolicy,
} from '@temporalio/client'
import type { FineTuneScheduleSpec } from '../src/spec/fine-tune-schedule.ts'
import type { nightly } from '../workflows/nightly.ts'
import type { NightlyJob } from '../workflows/nightly-job.ts'
import { CONTROL_QUEUE } from '../workflows/queues.ts'

const PREFIX = 'nightly-'
/** Key of the memo that says which name a schedule publishes. */
export const MODEL_MEMO = 'model'

const OVERLAP: Record<FineTuneScheduleSpec['schedule']['overlapPolicy'], ScheduleOverlapPolicy> = {
  skip: 'SKIP',
  bufferOne: 'BUFFER_ONE',
  bufferAll: 'BUFFER_ALL',
  cancelOther: 'CANCEL_OTHER',
  terminateOther: 'TERMINATE_OTHER',
}

type NightlyAction = ScheduleOptionsStartWorkflowAction<typeof nightly>

/** A schedule's id in Temporal, by its name; also the beginning of its nights' workflow ids. */
export function scheduleIdOf(name: string): string {
  return PREFIX + name
}

/** The name behind an id; undefined where the schedule is not Temper's. */
export function scheduleNameOf(id: string): string | undefined {
  return id.startsWith(PREFIX) ? id.slice(PREFIX.length) : undefined
}

/** A schedule as Temporal takes it: its clock, its policies, and the night that it starts. */
export function scheduleOptions(job: NightlyJob): ScheduleOptions<NightlyAction> {
  const { cron, timeZone, jitterSeconds, overlapPolicy, catchupWindowSeconds, pauseOnFailure } =
    job.spec.schedule
  const scheduleId = scheduleIdOf(job.schedule)
  return {
    scheduleId,
    spec: { cronExpressions: [cron], timezone: timeZone, jitter: jitterSeconds * 1000 },
    action: {
      type: 'startWorkflow',
      workflowType: 'nightly',
      workflowId: scheduleId,
      taskQueue: CONTROL_QUEUE,
      args: [job],
    },
    policies: {
      overlap: OVERLAP[overlapPolicy],
      catchupWindow: catchupWindowSeconds * 1000,
      pauseOnFailure,
    },
    memo: { [MODEL_MEMO]: job.spec.fineTune.publish.name },
  }
}

/** Starts a schedule in Temporal. ScheduleAlreadyRunning where there is one of this name. */
export async function startSchedule(client: Client, job: NightlyJob, paused = false): Promise<void> {
  await client.schedule.create<typeof nightly>({ ...scheduleOptions(job), state: { paused } })
}
