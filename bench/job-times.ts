import type { Client } from '@temporalio/client'
import { trainingWorkflowId } from '../workflows/job.ts'

export interface JobTimes {
  /** From the job's start to its end, in seconds. */
  total: number
  /** Seconds in each activity, from the worker's taking it up to its result. */
  stages: Record<string, number>
}

/** Where a finished job's time went, by its history and its training's. */
export async function jobTimes(client: Client, jobId: string): Promise<JobTimes> {
  const stages: Record<string, number> = {}
  let total = 0
  for (const id of [jobId, trainingWorkflowId(jobId)]) {
    const events = (await client.workflow.getHandle(id).fetchHistory()).events ?? []
    const at = (index: number) => secondsOf(events[index]?.eventTime)
    if (id === jobId) total = at(events.length - 1) - at(0)
    for (const [index, event] of events.entries()) {
      const completed = event.activityTaskCompletedEventAttributes
      if (!completed) continue
      const started = Number(completed.startedEventId) - 1
      const scheduled = Number(completed.scheduledEventId) - 1
      const name = events[scheduled]?.activityTaskScheduledEventAttributes?.activityType?.name ?? '?'
      stages[name] = (stages[name] ?? 0) + at(index) - at(started)
    }
  }
  return { total, stages }
}

function secondsOf(time: { seconds?: unknown; nanos?: number | null } | null | undefined): number {
  return Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9
}

export const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[half] ?? Number.NaN)
    : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2
}
