import type { Client } from '@temporalio/client'
import type { Fleet } from './fleets.ts'

const PATH = '/queues/'
/** KEDA itself waits for 3 seconds. */
const CALL_MILLISECONDS = 2_500

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
  const query = `WorkflowType = 'train' AND ExecutionStatus = 'Running' AND TaskQueue = '${queue}'`
  return client
    .withDeadline(Date.now() + CALL_MILLISECONDS, () => client.workflow.count(query))
    .then(({ count }) => ({ running: count }))
}
