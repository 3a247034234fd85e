import { KubeConfig } from '@kubernetes/client-node'
import { Client, Connection } from '@temporalio/client'
import { serveHealth } from '../src/local/health-server.ts'
import { temporalNamespace, temporalOptions } from '../jobs/temporal-options.ts'
import { ApiFineTunes } from './api-fine-tunes.ts'
import { ApiResources } from './api-resources.ts'
import { type FineTuneScheduleResource, SCHEDULE_PLURAL } from './fine-tune-schedule-resource.ts'
import { BusyPods } from './busy-pods.ts'
import { ClusterView } from './cluster-view.ts'
import { type ControllerCounters, type WorkerPods, runController } from './controller.ts'
import { whileLeader } from './leader-lease.ts'
import { runScheduleController } from './schedule-controller.ts'
import { type ControllerSettings, controllerSettings } from './settings.ts'
import { runningTrainings } from './running-trainings.ts'
import { TemporalJobs } from './temporal-jobs.ts'
import { TemporalSchedules } from './temporal-schedules.ts'

/** A night that began or ended is told within this. */
const SCHEDULE_POLL_MILLISECONDS = 15_000
/** One connects in milliseconds, or not at all. */
const CONNECT_MILLISECONDS = 5_000

/** The controller's process in a pod. It waits for its turn to lead, and ends by SIGTERM. */
async function main(signal: AbortSignal): Promise<void> {
  const settings = controllerSettings(process.env)
  const config = new KubeConfig()
  config.loadFromDefault()
  const options = temporalOptions(process.env)
  // Lazy: a server that is not there yet is a condition of each FineTune, not a reason to end.
  const connection = Connection.lazy({ ...options, connectTimeout: CONNECT_MILLISECONDS })
  const client = new Client({ connection, namespace: temporalNamespace(process.env) })
  const counters: ControllerCounters = {
    reconciliations: 0,
    failures: 0,
    queueDepth: 0,
    resources: 0,
    isSynced: false,
  }
  let leads = false
  const health = await serveHealth(settings.healthPort, {
    isAlive: () => true,
    isReady: () => !leads || counters.isSynced,
    metrics: () => ({
      temper_controller_leader: leads ? 1 : 0,
      temper_controller_finetunes: counters.resources,
      temper_controller_queue_depth: counters.queueDepth,
      temper_controller_reconciliations_total: counters.reconciliations,
      temper_controller_reconciliation_failures_total: counters.failures,
      process_resident_memory_bytes: process.memoryUsage.rss(),
    }),
    tell: (path) => runningTrainings(client, settings.fleets, path),
  })
  try {
    await whileLeader(
      {
        config,
        namespace: settings.namespace,
        name: settings.leaseName,
        identity: settings.identity,
        log,
      },
      signal,
      async (leading) => {
        leads = true
        const workers = workerPods(config, settings)
        const now = () => new Date()
        try {
          await Promise.all([
            runController(
              {
                config,
                namespaces: settings.namespaces,
                fleets: settings.fleets,
                dataRoot: settings.dataRoot,
                fineTunes: new ApiFineTunes(config, { log, now }),
                jobs: new TemporalJobs({
                  client,
                  address: options.address,
                  heartbeatSeconds: settings.heartbeatSeconds,
                }),
                workers,
                now,
                log,
                counters,
              },
              leading,
            ),
            runScheduleController(
              {
                config,
                namespaces: settings.namespaces,
                fleets: settings.fleets,
                dataRoot: settings.dataRoot,
                heartbeatSeconds: settings.heartbeatSeconds,
                pollMilliseconds: SCHEDULE_POLL_MILLISECONDS,
                api: new ApiResources<FineTuneScheduleResource>(config, SCHEDULE_PLURAL, { log, now }),
                schedules: new TemporalSchedules({
                  client,
                  address: options.address,
                  heartbeatSeconds: settings.heartbeatSeconds,
                }),
                now,
                log,
              },
              leading,
            ),
          ])
        } finally {
          leads = false
        }
      },
    )
  } finally {
    await connection.close()
    await health.close()
  }
}

function workerPods(
  config: KubeConfig,
  { namespace, workerSelector, cordons }: ControllerSettings,
): WorkerPods | undefined {
  if (workerSelector === undefined) return undefined
  const cluster = new ClusterView({ config, namespace, workerSelector, cordons, log })
  return { cluster, busy: new BusyPods(config, namespace, () => cluster.pods()) }
}

function log(message: string): void {
  console.error(JSON.stringify({ time: new Date().toISOString(), message }))
}

const stopping = new AbortController()
for (const event of ['SIGTERM', 'SIGINT']) process.on(event, () => stopping.abort())
await main(stopping.signal)
