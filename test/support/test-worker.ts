import { Client, Connection } from '@temporalio/client'
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker'
import { downloadCache } from '../../src/local/state-folder.ts'
import { workflowBundle } from '../../worker/workflow-bundle.ts'
import { type TestTemporal, startTemporal } from './temporal.ts'

export interface TestWorker {
  temporal: TestTemporal
  client: Client
  stop(): Promise<void>
}

/** The real workflows on a real server, with activities that the test plays. */
export async function startTestWorker(
  taskQueue: string,
  activities: object,
  options: { identity?: string } = {},
): Promise<TestWorker> {
  Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] })
  const temporal = await startTemporal()
  const { address } = temporal
  const connection = await NativeConnection.connect({ address })
  const client = new Client({ connection: await Connection.connect({ address }) })
  const worker = await Worker.create({
    connection,
    ...options,
    taskQueue,
    workflowBundle: await workflowBundle(downloadCache(process.env)),
    activities,
    // The bundle's spans: no test of workflows looks at them.
    sinks: { exporter: { export: { fn: () => {} } } },
    maxHeartbeatThrottleInterval: '100ms',
  })
  const running = worker.run()
  return {
    temporal,
    client,
    async stop() {
      worker.shutdown()
      await running
      await connection.close()
      await client.connection.close()
      await temporal.stop()
    },
  }
}
