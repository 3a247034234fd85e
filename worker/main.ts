import { setGlobalProxyFromEnv } from 'node:http'
import { join } from 'node:path'
import { DefaultLogger, NativeConnection, Runtime, type Worker } from '@temporalio/worker'
import type { Logger } from 'pino'
import { createActivities } from '../activities/create-activities.ts'
import { openStore } from '../src/store/open-store.ts'
import { serveHealth } from '../src/local/health-server.ts'
import { monotonicClock } from '../src/train/clock.ts'
import { createWorker } from './create-worker.ts'
import { workerLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { scratchFolder } from './scratch-folder.ts'
import { workerSettings } from './settings.ts'
import { temporalOptions } from '../jobs/temporal-options.ts'
import { startTracing } from './tracing.ts'
import { workflowBundle } from './workflow-bundle.ts'

/** Said over the channel by which the command that started this process listens. */
export type WorkerMessage = { type: 'ready' } | { type: 'failed'; message: string }

/**
 * The worker's process: polls its queues until it is told to stop by SIGTERM, SIGINT or the loss of whoever started it.
 * Then running stages save their state, and the process ends.
 */
async function main(stopping: AbortSignal, logger: Logger): Promise<void> {
  setGlobalProxyFromEnv()
  const settings = workerSettings(process.env, process.cwd())
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) =>
      logger[LEVELS[level]](meta ?? {}, message),
    ),
    // Signals are answered here, together with the loss of the channel.
    shutdownSignals: [],
  })
  // A trainer that is started again has nothing to compile again; this process itself is past that.
  process.env.NODE_COMPILE_CACHE ??= join(settings.downloadCache, 'compiled')
  const tracing = startTracing('temper-worker', process.env)
  const { registry, metrics } = createMetrics()
  const workers: Worker[] = []
  const health =
    settings.healthAddress === undefined
      ? undefined
      : await serveHealth(settings.healthAddress, {
          // Draining is well: its checkpoint must not be cut short.
          isAlive: () => workers.every((worker) => worker.getState() !== 'FAILED'),
          isReady: () => workers.length > 0 && workers.every((worker) => worker.getState() === 'RUNNING'),
          metrics: () => registry.metrics(),
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
      observation: { metrics, logger, clock: monotonicClock },
      tracing,
    }
    workers.push(...(await Promise.all(settings.queues.map((queue) => createWorker(queue, parts)))))
    await runWorkers(workers, stopping)
  } finally {
    await connection.close()
    scratch.remove()
    await health?.close()
    // A collector that does not answer keeps nobody: what it has not taken is lost.
    await tracing
      .close()
      .catch((error: unknown) => logger.warn({ error: String(error) }, 'spans were not sent'))
  }
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

/** Temporal's levels as pino names them. */
const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const

const stopping = new AbortController()
const logger = workerLog()
for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(event, () => stopping.abort())
try {
  await main(stopping.signal, logger)
  process.exit(0)
} catch (error) {
  logger.fatal({ stack: error instanceof Error ? error.stack : undefined }, String(error))
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  // What could not be ended in time must not keep the process: another worker has its work by now.
  process.exit(1)
}
