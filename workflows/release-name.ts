import { proxyActivities } from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import { attemptOptions } from './activity-options.ts'
import { CONTROL_QUEUE } from './queues.ts'
import { withRetries } from './with-retries.ts'

export interface NameToRelease {
  /** The model. */
  name: string
  schedule: string
  heartbeatSeconds: number
}

/** For whoever ends a schedule without having the store: a worker has it. */
export async function releaseName({ name, schedule, heartbeatSeconds }: NameToRelease): Promise<void> {
  const activities = proxyActivities<Pick<Activities, 'releaseName'>>(
    attemptOptions(CONTROL_QUEUE, heartbeatSeconds),
  )
  await withRetries({ attempt: () => {}, failed: () => {} }, (attempt) =>
    activities.releaseName({ jobId: `release-${schedule}`, attempt, name, schedule }),
  )
}
