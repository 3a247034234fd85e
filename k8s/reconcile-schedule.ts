import { isDeepStrictEqual } from 'node:util'
import { InputError, TransientError } from '../src/errors.ts'
import { resolveSchedulePaths } from '../src/spec/document-paths.ts'
import { parseFineTuneSchedule } from '../src/spec/parse-fine-tune-schedule.ts'
import type { NightlyJob } from '../workflows/nightly-job.ts'
import { scheduleIdOf } from '../jobs/start-schedule.ts'
import type { ApiResources } from './api-resources.ts'
import type {
  FineTuneScheduleResource,
  FineTuneScheduleStatus,
  LastNight,
  ScheduleCondition,
} from './fine-tune-schedule-resource.ts'
import type { EventText } from './fine-tunes.ts'
import { type Fleet, fleetOf } from './fleets.ts'
import type { Schedules, ScheduleView } from './schedules.ts'

const FINALIZER = 'temper.dev/delete-schedule'

export interface ScheduleParts {
  api: Pick<ApiResources<FineTuneScheduleResource>, 'applyStatus' | 'setFinalizers' | 'emit'>
  schedules: Schedules
  fleets: readonly Fleet[]
  /** Where the machines of the fleets have the data and models: relative paths of a spec begin here. */
  dataRoot: string
  heartbeatSeconds: number
  /** Between two looks at a schedule: a night is news within this. */
  pollMilliseconds: number
  now(): Date
}

/**
 * Brings one FineTuneSchedule a step nearer to what its spec asks for, from nothing but what is there now. May be killed at any
 * line and called again. Answers in how many milliseconds to look again, or undefined where only a change could help.
 */
export async function reconcileSchedule(
  resource: FineTuneScheduleResource,
  parts: ScheduleParts,
): Promise<number | undefined> {
  const { metadata, status: before } = resource
  const name = metadata.uid
  const { finalizers = [] } = metadata
  if (metadata.deletionTimestamp) {
    if (!finalizers.includes(FINALIZER)) return undefined
    await parts.schedules.remove(name, before?.model ?? metadata.name)
    await parts.api.setFinalizers(
      resource,
      finalizers.filter((each) => each !== FINALIZER),
    )
    return undefined
  }
  // First the finalizer: what is started by this resource ends with it.
  const held = finalizers.includes(FINALIZER)
    ? resource
    : await parts.api.setFinalizers(resource, [...finalizers, FINALIZER])
  try {
    const { job, suspend } = readSpec(resource, parts)
    const rival = await parts.schedules.rivalOf(job)
    if (rival !== undefined) {
      const message = `${job.spec.fineTune.publish.name} is published by the schedule ${rival}: give spec.fineTune.publish.name another name, or delete that schedule first.`
      return await write(held, parts, { ready: ['False', 'NameTaken', message] })
    }
    const view = await brought(job, suspend, held, parts)
    return await write(held, parts, {
      ready: readiness(view),
      model: job.spec.fineTune.publish.name,
      view,
      lastNight: await lastNight(view, before?.lastNight, parts),
    })
  } catch (error) {
    if (error instanceof InputError) {
      await write(held, parts, { ready: ['False', 'InvalidSpec', error.message] })
      return undefined
    }
    if (!(error instanceof TransientError)) throw error
    return write(held, parts, { unreachable: error.message })
  }
}

function readSpec(
  { apiVersion, kind, metadata, spec: written }: FineTuneScheduleResource,
  { fleets, dataRoot, heartbeatSeconds }: ScheduleParts,
): { job: NightlyJob; suspend: boolean } {
  const { suspend = false, fleet, ...spec } = written
  const document = { apiVersion, kind, metadata: { name: metadata.name }, spec }
  const parsed = parseFineTuneSchedule(document, `FineTuneSchedule ${metadata.namespace}/${metadata.name}`)
  const job: NightlyJob = {
    schedule: metadata.uid,
    spec: resolveSchedulePaths(parsed.spec, dataRoot),
    trainingQueue: fleetOf(fleets, fleet).taskQueue,
    heartbeatSeconds,
    searchAttributes: false,
  }
  return { job, suspend }
}

/** The schedule as the spec asks for it, and what Temporal says of it then. */
async function brought(
  job: NightlyJob,
  suspend: boolean,
  { metadata, status }: FineTuneScheduleResource,
  { schedules }: ScheduleParts,
): Promise<ScheduleView> {
  const view = await schedules.look(job.schedule)
  const isNew = status?.observedGeneration !== metadata.generation || status?.scheduleId === undefined
  if (view && !isNew) return view
  // A schedule that a failed night or a person has paused stays so: only what the resource itself has paused it resumes.
  const wasSuspended = status?.conditions.some(({ reason }) => reason === 'Suspended') ?? false
  await schedules.put(job, suspend ? true : wasSuspended ? false : undefined)
  const after = await schedules.look(job.schedule)
  if (after === undefined) throw new TransientError('the schedule that was just started is not there')
  return after
}

type Ready = [ScheduleCondition['status'], string, string]

function readiness({ paused, note, nextTime }: ScheduleView): Ready {
  if (!paused)
    return ['True', 'Scheduled', `The next night begins at ${nextTime?.toISOString() ?? 'no time'}.`]
  return note
    ? ['False', 'Paused', `Paused: ${note}.`]
    : ['False', 'Suspended', 'No night begins; spec.suspend: false lets them begin again.']
}

async function lastNight(
  { last }: ScheduleView,
  before: LastNight | undefined,
  { schedules }: ScheduleParts,
): Promise<LastNight | undefined> {
  if (last === undefined) return before
  if (before?.workflowId === last.workflowId && before.end !== 'running') return before
  const { workflowId, time } = last
  return { workflowId, time: time.toISOString(), ...(await schedules.night(workflowId)) }
}

interface News {
  ready?: Ready
  unreachable?: string
  model?: string
  view?: ScheduleView
  lastNight?: LastNight | undefined
}

/** Writes the status where it says something new, and tells people what changed. */
async function write(
  resource: FineTuneScheduleResource,
  { api, now, pollMilliseconds }: ScheduleParts,
  { ready, unreachable, model, view, lastNight: night }: News,
): Promise<number> {
  const { metadata, status: before } = resource
  const at = { generation: metadata.generation ?? 0, now: now().toISOString() }
  const condition = (
    type: ScheduleCondition['type'],
    [status, reason, message]: Ready,
  ): ScheduleCondition => {
    const old = before?.conditions.find((each) => each.type === type)
    return {
      type,
      status,
      reason,
      message,
      observedGeneration: at.generation,
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : at.now,
    }
  }
  const kept = before?.conditions.find(({ type }) => type === 'Ready')
  const status: FineTuneScheduleStatus = {
    ...before,
    // A generation counts as seen once Temporal has taken it.
    observedGeneration: unreachable === undefined ? at.generation : (before?.observedGeneration ?? 0),
    ...(model !== undefined && { model }),
    ...(view && { scheduleId: scheduleIdOf(metadata.uid) }),
    conditions: [
      ...(ready ? [condition('Ready', ready)] : kept ? [kept] : []),
      condition(
        'TemporalReachable',
        unreachable === undefined
          ? ['True', 'TemporalReachable', 'Temporal answers.']
          : ['False', 'TemporalUnreachable', unreachable],
      ),
    ],
    ...(night && { lastNight: night }),
  }
  if (view?.nextTime && !view.paused) status.nextTime = view.nextTime.toISOString()
  else if (view) delete status.nextTime
  if (isDeepStrictEqual(status, before)) return pollMilliseconds
  const after = await api.applyStatus(resource, status)
  for (const event of eventsOf(before, status)) await api.emit(after, event)
  return pollMilliseconds
}

function eventsOf(before: FineTuneScheduleStatus | undefined, after: FineTuneScheduleStatus): EventText[] {
  const events: EventText[] = []
  for (const { type, status, reason, message } of after.conditions) {
    if (before?.conditions.find((each) => each.type === type)?.reason === reason) continue
    if (type === 'TemporalReachable' && before === undefined && status === 'True') continue
    events.push({ type: status === 'True' || reason === 'Suspended' ? 'Normal' : 'Warning', reason, message })
  }
  const { lastNight: night } = after
  const told = before?.lastNight
  if (night && (night.workflowId !== told?.workflowId || night.end !== told.end)) {
    events.push({
      type: night.end === 'failed' ? 'Warning' : 'Normal',
      reason: `Night${night.end.charAt(0).toUpperCase()}${night.end.slice(1)}`,
      message: night.why ?? `The night ${night.workflowId} is ${night.end}.`,
    })
  }
  return events
}
