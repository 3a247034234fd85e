import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../workflows/queues.ts'
import type { Session } from './session.ts'
import { type WorkerProcess, startWorker } from './worker-process.ts'

const workflowQueue = 1
/** A poller that has not come back for this long is gone: each asks again after a minute at the latest. */
const POLLER_MILLISECONDS = 90_000

/**
 * Whether anybody else works on the queues: a `temper up` of this state folder, or, on a server of the user's own, any worker.
 */
export async function isServed(session: Session): Promise<boolean> {
  return session.isServedHere() || (await hasPollers(session))
}

/** A worker of this command's own, unless somebody else serves the queues. */
export async function ensureWorker(
  session: Session,
  say: (message: string) => void,
): Promise<WorkerProcess | undefined> {
  if (await isServed(session)) return undefined
  const worker = startWorker(session, say)
  await worker.ready
  return worker
}

async function hasPollers(session: Session): Promise<boolean> {
  // A state folder's own server is known to have only this machine's workers, and isServedHere knows those.
  if (session.server.ui !== undefined) return false
  const { connection, options } = session.client
  const answers = await Promise.all(
    [CONTROL_QUEUE, CPU_TRAINING_QUEUE].map((name) =>
      connection.workflowService.describeTaskQueue({
        namespace: options.namespace,
        taskQueue: { name },
        taskQueueType: workflowQueue,
      }),
    ),
  )
  const oldest = Date.now() - POLLER_MILLISECONDS
  return answers.every(({ pollers }) =>
    (pollers ?? []).some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > oldest),
  )
}
