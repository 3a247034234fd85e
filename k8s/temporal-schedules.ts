import {
  type Client,
  ScheduleNotFoundError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client'
import { hasSearchAttributes } from '../jobs/search-attributes.ts'
import {
  MODEL_MEMO,
  scheduleIdOf,
  scheduleNameOf,
  scheduleOptions,
  startSchedule,
} from '../jobs/start-schedule.ts'
import type { NightRecord } from '../src/nightly/night-record.ts'
import type { NightlyJob } from '../workflows/nightly-job.ts'
import { CONTROL_QUEUE } from '../workflows/queues.ts'
import type { releaseName } from '../workflows/release-name.ts'
import { callTemporal, type TemporalPlace } from './call-temporal.ts'
import type { LastNight } from './fine-tune-schedule-resource.ts'
import type { Schedules, ScheduleView } from './schedules.ts'

/** FineTuneSchedules as schedules of a Temporal server. */
export class TemporalSchedules implements Schedules {
  readonly #place: TemporalPlace

  constructor(place: TemporalPlace) {
    this.#place = place
  }

  look(name: string): Promise<ScheduleView | undefined> {
    return this.#call(async (client) => {
      try {
        const { state, info } = await client.schedule.getHandle(scheduleIdOf(name)).describe()
        const last = info.recentActions.at(-1)
        return {
          paused: state.paused,
          note: state.note,
          nextTime: info.nextActionTimes[0],
          last: last && { workflowId: last.action.workflow.workflowId, time: last.takenAt },
        }
      } catch (error) {
        if (error instanceof ScheduleNotFoundError) return undefined
        throw error
      }
    })
  }

  put(job: NightlyJob, paused: boolean | undefined): Promise<void> {
    return this.#call(async (client) => {
      const searchAttributes = await hasSearchAttributes(client.connection, client.options.namespace)
      const labelled = { ...job, searchAttributes }
      const { spec, action, policies } = scheduleOptions(labelled)
      const handle = client.schedule.getHandle(scheduleIdOf(job.schedule))
      try {
        await handle.update(({ state }) => ({
          spec,
          action,
          ...(policies && { policies }),
          state: { ...state, ...(paused !== undefined && { paused }) },
        }))
      } catch (error) {
        if (!(error instanceof ScheduleNotFoundError)) throw error
        await startSchedule(client, labelled, paused ?? false)
      }
    })
  }

  rivalOf({ schedule, spec }: NightlyJob): Promise<string | undefined> {
    const model = spec.fineTune.publish.name
    return this.#call(async (client) => {
      for await (const { scheduleId, memo } of client.schedule.list()) {
        const name = scheduleNameOf(scheduleId)
        if (name !== undefined && name !== schedule && memo?.[MODEL_MEMO] === model) return name
      }
      return undefined
    })
  }

  night(workflowId: string): Promise<Pick<LastNight, 'end' | 'why' | 'version'>> {
    return this.#call(async (client) => {
      const handle = client.workflow.getHandle(workflowId)
      try {
        const { status } = await handle.describe()
        if (status.name === 'RUNNING') return { end: 'running' }
        const { end, why, version } = (await handle.result()) as NightRecord
        return { end, why, ...(version !== undefined && { version }) }
      } catch (error) {
        // Its history is kept for as long as the namespace says.
        if (error instanceof WorkflowNotFoundError) return { end: 'over' }
        if (!(error instanceof WorkflowFailedError)) throw error
        const { cause } = error
        const end = cause?.name === 'ApplicationFailure' ? 'failed' : 'cancelled'
        return { end, ...(cause && { why: cause.message }) }
      }
    })
  }

  remove(name: string, model: string): Promise<void> {
    return this.#call(async (client) => {
      try {
        await client.schedule.getHandle(scheduleIdOf(name)).delete()
      } catch (error) {
        if (!(error instanceof ScheduleNotFoundError)) throw error
      }
      try {
        await client.workflow.start<typeof releaseName>('releaseName', {
          workflowId: `${scheduleIdOf(name)}.release`,
          taskQueue: CONTROL_QUEUE,
          args: [{ name: model, schedule: name, heartbeatSeconds: this.#place.heartbeatSeconds }],
        })
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
      }
    })
  }

  #call<T>(work: (client: Client) => Promise<T>): Promise<T> {
    return callTemporal(this.#place, work)
  }
}
