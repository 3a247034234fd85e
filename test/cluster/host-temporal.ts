import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Connection } from '@temporalio/client'
import { downloadCache } from '../../src/local/state-folder.ts'
import { findTemporalBinary } from '../../src/local/temporal-binary.ts'
import { freePorts } from '../support/cluster/free-ports.ts'
import { type ServerProcess, startServer, untilReady } from '../support/cluster/server-process.ts'

/** A real Temporal server where pods reach it. */
export interface HostTemporal {
  server: ServerProcess
  /** host:port */
  address: string
  /** A client of a namespace, which is made where it is not there yet. */
  clientOf(namespace: string): Promise<Client>
  stop(): Promise<void>
}

const READY_MILLISECONDS = 60_000
const DAY_SECONDS = 86_400
const ALREADY_EXISTS = 6

/** `wanted`: the port, where it matters which. */
export async function startHostTemporal(
  address: string,
  folder: string,
  wanted?: number,
): Promise<HostTemporal> {
  const binary = await findTemporalBinary({
    environment: process.env,
    cacheDir: downloadCache(process.env),
    say: () => {},
  })
  const [port = 0] = wanted === undefined ? await freePorts(1, address) : [wanted]
  const server = await startServer(
    'temporal',
    binary.path,
    [
      // On every address: its services find each other on the loopback, whatever --ip says.
      ...['server', 'start-dev', '--headless', '--ip', '0.0.0.0', '--port', String(port)],
      ...['--db-filename', join(folder, 'temporal.db'), '--log-level', 'error'],
      ...['--dynamic-config-value', 'frontend.enableServerVersionCheck=false'],
    ],
    { log: join(folder, 'temporal.log') },
  )
  const where = `${address}:${port}`
  let connection: Connection | undefined
  await untilReady(server, READY_MILLISECONDS, async () => {
    connection = await Connection.connect({ address: where })
    return true
  })
  if (connection === undefined) throw new Error('no connection')
  const opened = connection
  return {
    server,
    address: where,
    clientOf: async (namespace) => {
      const client = new Client({ connection: opened, namespace })
      try {
        await opened.workflowService.registerNamespace({
          namespace,
          workflowExecutionRetentionPeriod: { seconds: DAY_SECONDS as unknown as never },
        })
      } catch (error) {
        if ((error as { code?: number }).code !== ALREADY_EXISTS) throw error
      }
      // Other parts of the server learn of a namespace a moment later.
      for (;;) {
        try {
          await client.workflow.count("WorkflowType = 'fineTune'")
          return client
        } catch (error) {
          if (!server.isRunning()) throw error
          await sleep(200)
        }
      }
    },
    stop: async () => {
      await opened.close()
      await server.stop()
    },
  }
}
