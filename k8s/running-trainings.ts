import type { Client } from '@temporalio/client'
import type { Fleet } from './fleets.ts'

const PATH = '/queues/'

/**
 * What KEDA asks about a fleet: how many trainings run on its queue, those that wait for a machine included. Any replica of
 * the controller knows it, since Temporal is asked. Undefined for a path that names no fleet's queue.
 */
export function runningTrainings(
  client: Client,
  fleets: readonly Fleet[],
  path: string,
): Promise<{ running: number }> | undefined {
  const queue = path.startsWith(PATH) ? decodeURIComponent(path.slice(PATH.length)) : undefined
  if (!fleets.some(({ taskQueue }) => taskQueue === queue)) return undefined
  return client.workflow
    .count(`WorkflowType = 'train' AND ExecutionStatus = 'Running' AND TaskQueue = '${queue}'`)
    .then(({ count }) => ({ running: count }))
}
