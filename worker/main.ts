import { setGlobalProxyFromEnv } from 'node:http'
import { join } from 'node:path'
import { DefaultLogger, NativeConnection, Runtime, type Worker } from '@temporalio/worker'
import { createActivities } from '../activities/create-activities.ts'
import { openStore } from '../src/store/open-store.ts'
import { serveHealth } from '../src/local/health-server.ts'
import { createWorker } from './create-worker.ts'
import { scratchFolder } from './scratch-folder.ts'
import { workerSettings } from './settings.ts'
import { temporalOptions } from './temporal-options.ts'
import { workflowBundle } from './workflow-bundle.ts'

/** Said over the channel by which the command that started this process listens. */
export type WorkerMessage = { type: 'ready' } | { type: 'failed'; message: string }

/**
 * The worker's process: polls its queues until it is told to stop by SIGTERM, SIGINT or the loss of whoever started it.
 * Then running stages save their state, and the process ends.
 */
async function main(stopping: AbortSignal): Promise<void> {
  setGlobalProxyFromEnv()
  const settings = workerSettings(process.env, process.cwd())
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      console.error(JSON.stringify({ time: new Date().toISOString(), level, message, ...meta }))
    }),
    // Signals are answered here, together with the loss of the channel.
    shutdownSignals: [],
  })
  const store = await openStore(settings.storeUri)
  const scratch = scratchFolder(join(settings.state.cache, 'scratch'))
  const connection = await NativeConnection.connect(temporalOptions(process.env))
  try {
    const parts = {
      connection,
      namespace: settings.namespace,
      bundle: await workflowBundle(settings.downloadCache),
      activities: createActivities({
        store,
        scratchRoot: scratch.path,
        artifactCache: join(settings.state.cache, 'artifacts'),
        downloadCache: settings.downloadCache,
        environment: process.env,
      }),
    }
    const workers = await Promise.all(settings.queues.map((queue) => createWorker(queue, parts)))
    const health = await healthOf(workers)
    try {
      await runWorkers(workers, stopping)
    } finally {
      await health?.close()
    }
  } finally {
    await connection.close()
    scratch.remove()
  }
}

/** For the probes of a pod (TEMPER_HEALTH_PORT); a worker on a laptop has none. */
async function healthOf(workers: readonly Worker[]): Promise<{ close(): Promise<void> } | undefined> {
  const port = process.env.TEMPER_HEALTH_PORT
  if (!port) return undefined
  return serveHealth(Number(port), {
    // Draining is well: its checkpoint must not be cut short.
    isAlive: () => workers.every((worker) => worker.getState() !== 'FAILED'),
    isReady: () => workers.every((worker) => worker.getState() === 'RUNNING'),
  })
}

async function runWorkers(workers: readonly Worker[], stopping: AbortSignal): Promise<void> {
  const running = Promise.all(workers.map((worker) => worker.run()))
  const stop = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown()
  }
  if (stopping.aborted) stop()
  else stopping.addEventListener('abort', stop, { once: true })
  tell({ type: 'ready' })
  await running
}

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message)
}

const stopping = new AbortController()
for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(event, () => stopping.abort())
try {
  await main(stopping.signal)
  process.exit(0)
} catch (error) {
  console.error(error)
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  // What could not be ended in time must not keep the process: another worker has its work by now.
  process.exit(1)
}
