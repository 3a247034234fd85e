import { isCancellation, proxyActivities } from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import type { NightRecord } from '../src/nightly/night-record.ts'
import type { NightEvent, Notification } from '../src/spec/fine-tune-schedule.ts'
import { failureOf } from './failure.ts'
import { CONTROL_QUEUE } from './queues.ts'

/**
 * Tells every receiver that wants to know. Each is tried by itself, for most of a day: one that does not answer keeps none of
 * the others waiting. Returns what was not delivered, a sentence each.
 */
export async function tell({
  record,
  notifications,
}: {
  record: NightRecord
  notifications: Notification[]
}): Promise<string[]> {
  const { tellNight } = proxyActivities<Pick<Activities, 'tellNight'>>({
    taskQueue: CONTROL_QUEUE,
    startToCloseTimeout: '1 minute',
    // A worker that dies while it tells: the next one tells again.
    heartbeatTimeout: '10s',
    retry: { initialInterval: '5s', backoffCoefficient: 3, maximumInterval: '2h', maximumAttempts: 14 },
  })
  const deliveries = eventsOf(record).flatMap((event) =>
    notifications.filter(({ on }) => on.includes(event)).map((target) => ({ record, event, target })),
  )
  const outcomes = await Promise.all(
    deliveries.map(async (delivery) => {
      try {
        await tellNight({ ...delivery, jobId: record.job ?? record.schedule, attempt: 1 })
        return []
      } catch (error) {
        if (isCancellation(error)) throw error
        return [failureOf(error).message]
      }
    }),
  )
  return outcomes.flat()
}

/** What there is to tell of a night. */
function eventsOf({ end, recovered }: NightRecord): NightEvent[] {
  return recovered ? [end, 'recovered'] : [end]
}
