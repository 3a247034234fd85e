import { Client, Connection } from '@temporalio/client'
import { OpenTelemetryWorkflowClientInterceptor } from '@temporalio/interceptors-opentelemetry'
import { InputError } from '../src/errors.ts'
import { downloadCache, openStateFolder, type StateFolder } from '../src/local/state-folder.ts'
import { serverUsers } from '../src/local/server-users.ts'
import { type TemporalServer, useTemporalServer } from '../src/local/temporal-server.ts'
import { openStore } from '../src/store/open-store.ts'
import type { Store } from '../src/store/store.ts'
import { hasSearchAttributes } from '../jobs/search-attributes.ts'
import { temporalNamespace, temporalOptions } from '../jobs/temporal-options.ts'
import { storeUri } from '../worker/settings.ts'
import { startTracing } from '../worker/tracing.ts'
import { JOB_ATTRIBUTE, STAGE_ATTRIBUTE } from '../workflows/job.ts'

const CONNECT_MILLISECONDS = 10_000
/** The dev server answers health checks a moment before its namespace is there. */
const NAMESPACE_ATTEMPTS = 50
const NAMESPACE_WAIT_MILLISECONDS = 100

export interface SessionOptions {
  /** As the user typed it: "temper run". */
  command: string
  /** This process runs a worker until it is stopped. */
  works?: boolean
  port?: number
  say(message: string): void
  signal?: AbortSignal
}

/** What every command needs: the Temporal server, the store, and the folder of this installation. */
export interface Session {
  state: StateFolder
  server: TemporalServer
  client: Client
  store: Store
  storeUri: string
  /** For the worker's process. */
  workerEnvironment: Record<string, string>
  /** The server has Temper's search attributes. */
  searchAttributes: boolean
  /** True where another process of this machine (`temper up`) serves this state folder's queues. */
  isServedHere(): boolean
  close(): Promise<void>
}

export async function openSession(options: SessionOptions): Promise<Session> {
  const { env } = process
  const state = openStateFolder(env, process.cwd())
  const tracing = startTracing('temper', env)
  const tracer = new OpenTelemetryWorkflowClientInterceptor()
  const uri = storeUri(env, state)
  const store = await openStore(uri)
  const server = await useTemporalServer(state, {
    environment: env,
    downloadCache: downloadCache(env),
    command: options.command,
    works: options.works ?? false,
    searchAttributes: { [JOB_ATTRIBUTE]: 'Keyword', [STAGE_ATTRIBUTE]: 'Keyword' },
    say: options.say,
    ...(options.port !== undefined && { port: options.port }),
    ...(options.signal && { signal: options.signal }),
  })
  try {
    const namespace = temporalNamespace(env)
    const connection = await connect(server, namespace)
    return {
      state,
      server,
      client: new Client({
        connection,
        namespace,
        // The job's trace begins with this command. Looks at it, many a second, are not worth a span.
        interceptors: {
          workflow: [{ startWithDetails: (input, next) => tracer.startWithDetails(input, next) }],
        },
      }),
      store,
      storeUri: uri,
      workerEnvironment: {
        TEMPORAL_ADDRESS: server.address,
        TEMPORAL_NAMESPACE: namespace,
        TEMPER_STORE: uri,
        TEMPER_HOME: state.root,
      },
      searchAttributes: await hasSearchAttributes(connection, namespace),
      isServedHere: () => serverUsers(state).some((user) => user.works && user.pid !== process.pid),
      async close() {
        await connection.close()
        await server.leave()
        // No collector keeps a command from ending.
        await tracing.close().catch(() => {})
      },
    }
  } catch (error) {
    await server.leave()
    throw error
  }
}

async function connect(server: TemporalServer, namespace: string): Promise<Connection> {
  let connection: Connection
  try {
    connection = await Connection.connect({
      ...temporalOptions(process.env),
      address: server.address,
      connectTimeout: CONNECT_MILLISECONDS,
    })
  } catch (error) {
    throw new InputError(
      `No Temporal server answers at ${server.address} (TEMPORAL_ADDRESS): start it, or unset the variable to let temper start one of its own.`,
      { cause: error },
    )
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await connection.workflowService.describeNamespace({ namespace })
      return connection
    } catch (error) {
      if (attempt < NAMESPACE_ATTEMPTS && server.ui !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, NAMESPACE_WAIT_MILLISECONDS))
        continue
      }
      await connection.close()
      throw new InputError(
        `The Temporal server at ${server.address} has no namespace ${namespace}: create it, or set TEMPORAL_NAMESPACE to one that is there.`,
        { cause: error },
      )
    }
  }
}
