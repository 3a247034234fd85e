import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Client,
  type ScheduleDescription,
  type ScheduleHandle,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
} from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import { championOf } from '../src/nightly/champion.ts'
import { requireContinuable } from '../src/nightly/continuation.ts'
import { claimName, releaseName } from '../src/nightly/night-state.ts'
import { observeSources } from '../src/nightly/sources.ts'
import type { FineTuneScheduleSpec } from '../src/spec/fine-tune-schedule.ts'
import type { Store } from '../src/store/store.ts'
import type { NightlyJob } from '../workflows/nightly-job.ts'
import { CPU_TRAINING_QUEUE } from '../workflows/queues.ts'
import { MODEL_MEMO, scheduleIdOf, scheduleNameOf, startSchedule } from './start-schedule.ts'

export interface ScheduleRequest {
  name: string
  spec: FineTuneScheduleSpec
  heartbeatSeconds: number
}

/** Where schedules live: their clock in Temporal, their names in the store. */
export interface SchedulePlace {
  client: Client
  store: Store
  /** The server has Temper's search attributes. */
  searchAttributes: boolean
}

/**
 * Starts a schedule. Before anything is started: its sources must be there, and its model's name free. InputError where they
 * are not, or where the schedule exists.
 */
export async function createSchedule(place: SchedulePlace, request: ScheduleRequest): Promise<void> {
  const { name, spec, heartbeatSeconds } = request
  const model = spec.fineTune.publish.name
  await observeSources(spec.fineTune.data.train)
  const champion = spec.start?.from === 'champion' ? await championOf(place.store, model) : undefined
  if (champion) await requireContinuable(place.store, champion, spec.fineTune.train)
  await claimName(place.store, model, name)
  const job: NightlyJob = {
    schedule: name,
    spec,
    trainingQueue: CPU_TRAINING_QUEUE,
    heartbeatSeconds,
    searchAttributes: place.searchAttributes,
  }
  try {
    await startSchedule(place.client, job)
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) {
      // The name that was claimed a moment ago stays its own only where it is the one that it publishes.
      const { model: published } = await findSchedule(place, name)
      if (published !== model) await releaseName(place.store, model, name)
      throw new InputError(
        `There is a schedule ${name} already: delete it first (temper schedule delete ${name}), its model and history stay.`,
        { cause: error },
      )
    }
    await releaseName(place.store, model, name)
    throw error
  }
}

/** InputError where there is no such schedule. */
export async function findSchedule(
  { client }: Pick<SchedulePlace, 'client'>,
  name: string,
): Promise<{ handle: ScheduleHandle; description: ScheduleDescription; model: string }> {
  const handle = client.schedule.getHandle(scheduleIdOf(name))
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
}: Pick<SchedulePlace, 'client'>): Promise<
  { name: string; model: string; paused: boolean; next?: string }[]
> {
  const schedules: { name: string; model: string; paused: boolean; next?: string }[] = []
  for await (const { scheduleId, memo, state, info } of client.schedule.list()) {
    const name = scheduleNameOf(scheduleId)
    if (name === undefined) continue
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

/** Temporal names a run by the second of its start: of two triggers within one second the later one would be lost. */
const SECOND = 1000

/** Starts a night now, by the same rules. */
export async function triggerSchedule(place: Pick<SchedulePlace, 'client'>, name: string): Promise<void> {
  const { handle, description } = await findSchedule(place, name)
  const last = description.info.recentActions.at(-1)?.scheduledAt.getTime()
  if (last !== undefined && Date.now() - last < SECOND) await sleep(SECOND)
  await handle.trigger()
}

/** The schedule goes first: a name that is free again is never written by a schedule that still runs. */
export async function deleteSchedule(place: SchedulePlace, name: string): Promise<void> {
  const { handle, model } = await findSchedule(place, name)
  await handle.delete()
  await releaseName(place.store, model, name)
}
