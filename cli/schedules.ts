import {
  type ScheduleDescription,
  type ScheduleHandle,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOverlapPolicy,
} from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import { claimName, releaseName } from '../src/nightly/night-state.ts'
import { observeSources } from '../src/nightly/sources.ts'
import type { FineTuneScheduleSpec } from '../src/spec/fine-tune-schedule.ts'
import type { nightly } from '../workflows/nightly.ts'
import type { NightlyJob } from '../workflows/nightly-job.ts'
import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../workflows/queues.ts'
import type { Session } from './session.ts'

const PREFIX = 'nightly-'
const MODEL_MEMO = 'model'

const OVERLAP: Record<FineTuneScheduleSpec['schedule']['overlapPolicy'], ScheduleOverlapPolicy> = {
  skip: 'SKIP',
  bufferOne: 'BUFFER_ONE',
  bufferAll: 'BUFFER_ALL',
  cancelOther: 'CANCEL_OTHER',
  terminateOther: 'TERMINATE_OTHER',
}

export interface ScheduleRequest {
  name: string
  spec: FineTuneScheduleSpec
  heartbeatSeconds: number
}

type ScheduleParts = Pick<Session, 'client' | 'store' | 'searchAttributes'>

/**
 * Starts a schedule. Before anything is started: its sources must be there, and its model's name free. InputError where they
 * are not, or where the schedule exists.
 */
export async function createSchedule(session: ScheduleParts, request: ScheduleRequest): Promise<void> {
  const { name, spec, heartbeatSeconds } = request
  const { cron, timeZone, jitterSeconds, overlapPolicy, catchupWindowSeconds, pauseOnFailure } = spec.schedule
  const model = spec.fineTune.publish.name
  await observeSources(spec.fineTune.data.train)
  await claimName(session.store, model, name)
  const job: NightlyJob = {
    schedule: name,
    spec,
    trainingQueue: CPU_TRAINING_QUEUE,
    heartbeatSeconds,
    searchAttributes: session.searchAttributes,
  }
  try {
    await session.client.schedule.create<typeof nightly>({
      scheduleId: PREFIX + name,
      spec: { cronExpressions: [cron], timezone: timeZone, jitter: jitterSeconds * 1000 },
      action: {
        type: 'startWorkflow',
        workflowType: 'nightly',
        workflowId: PREFIX + name,
        taskQueue: CONTROL_QUEUE,
        args: [job],
      },
      policies: {
        overlap: OVERLAP[overlapPolicy],
        catchupWindow: catchupWindowSeconds * 1000,
        pauseOnFailure,
      },
      memo: { [MODEL_MEMO]: model },
    })
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) {
      throw new InputError(
        `There is a schedule ${name} already: delete it first (temper schedule delete ${name}), its model and history stay.`,
        { cause: error },
      )
    }
    await releaseName(session.store, model, name)
    throw error
  }
}

/** InputError where there is no such schedule. */
export async function findSchedule(
  { client }: Pick<Session, 'client'>,
  name: string,
): Promise<{ handle: ScheduleHandle; description: ScheduleDescription; model: string }> {
  const handle = client.schedule.getHandle(PREFIX + name)
  try {
    const description = await handle.describe()
    return { handle, description, model: modelOf(description.memo, name) }
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error
    throw new InputError(`There is no schedule ${name}: temper schedule list shows those that are there.`, {
      cause: error,
    })
  }
}

export async function listSchedules({
  client,
}: Pick<Session, 'client'>): Promise<{ name: string; model: string; paused: boolean; next?: string }[]> {
  const schedules: { name: string; model: string; paused: boolean; next?: string }[] = []
  for await (const { scheduleId, memo, state, info } of client.schedule.list()) {
    if (!scheduleId.startsWith(PREFIX)) continue
    const name = scheduleId.slice(PREFIX.length)
    const next = info?.nextActionTimes[0]?.toISOString()
    const paused = state.paused ?? false
    schedules.push({ name, model: modelOf(memo, name), paused, ...(next && { next }) })
  }
  return schedules.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function modelOf(memo: Record<string, unknown> | undefined, name: string): string {
  const model = memo?.[MODEL_MEMO]
  return typeof model === 'string' ? model : name
}

/** The schedule goes first: a name that is free again is never written by a schedule that still runs. */
export async function deleteSchedule(session: ScheduleParts, name: string): Promise<void> {
  const { handle, model } = await findSchedule(session, name)
  await handle.delete()
  await releaseName(session.store, model, name)
}
