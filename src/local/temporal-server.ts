import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError, TransientError } from '../errors.ts'
import { endProcess } from './end-process.ts'
import { withFileLock } from './file-lock.ts'
import { grpcHealth } from './grpc-health.ts'
import { freePort, requireFreePort } from './ports.ts'
import { type ProcessIdentity, identifyProcess, isRunning } from './process-identity.ts'
import { enterServerUser, serverUsers } from './server-users.ts'
import type { StateFolder } from './state-folder.ts'
import { findTemporalBinary } from './temporal-binary.ts'

const frontendService = 'temporal.api.workflowservice.v1.WorkflowService'
/** Three seconds on two idle cores; a busy machine takes its time. */
const startMilliseconds = 60_000
/** A server found running answers within this, or it hangs. */
const answerMilliseconds = 5_000
/** SQLite is closed in well under a second. */
const stopMilliseconds = 10_000
/** Whoever waits may wait for another command's download of the binary. */
const lockMilliseconds = 30 * 60_000

export interface TemporalServer {
  /** host:port of the gRPC frontend. */
  address: string
  /** Its web page, where this state folder's own server runs. */
  ui?: string
  /** In words: how it was had. */
  from: string
  /** To be called once when done: the last process that leaves stops the server it shares. */
  leave(): Promise<void>
}

export interface TemporalServerOptions {
  environment: Record<string, string | undefined>
  downloadCache: string
  /** What this process is, for others to read: "temper up". */
  command: string
  /** This process runs a worker until it is stopped. */
  works: boolean
  /** Only to be given where a person asked for this port. */
  port?: number
  /** Search attributes to register, name to type. */
  searchAttributes: Record<string, 'Keyword'>
  say(message: string): void
  signal?: AbortSignal
}

/** What server.json holds. */
interface ServerRecord extends ProcessIdentity {
  port: number
  uiPort: number
  from: string
  startedBy: string
}

/**
 * The Temporal server to use: TEMPORAL_ADDRESS as it is; this state folder's own where it runs; otherwise a new one.
 * Several processes may ask at once: they share one.
 */
export async function useTemporalServer(
  state: StateFolder,
  options: TemporalServerOptions,
): Promise<TemporalServer> {
  const given = options.environment.TEMPORAL_ADDRESS
  if (given) {
    const leaveUsers = enterServerUser(state, options.command, options.works)
    return { address: given, from: 'TEMPORAL_ADDRESS', leave: async () => leaveUsers() }
  }
  return withFileLock(`${state.serverFile}.lock`, lockMilliseconds, async () => {
    const leaveUsers = enterServerUser(state, options.command, options.works)
    try {
      const record = (await runningServer(state, options.port)) ?? (await startServer(state, options))
      return {
        address: addressOf(record),
        ui: `http://127.0.0.1:${record.uiPort}`,
        from: record.from,
        leave: () => leave(state, leaveUsers),
      }
    } catch (error) {
      leaveUsers()
      throw error
    }
  })
}

async function leave(state: StateFolder, leaveUsers: () => void): Promise<void> {
  await withFileLock(`${state.serverFile}.lock`, lockMilliseconds, async () => {
    leaveUsers()
    const record = readRecord(state)
    if (record === undefined || serverUsers(state).length > 0) return
    await endProcess(record, stopMilliseconds)
    rmSync(state.serverFile, { force: true })
  })
}

/** The server that server.json names, if that very process still runs and answers. Leftovers of a killed one are cleared away. */
async function runningServer(state: StateFolder, wantedPort?: number): Promise<ServerRecord | undefined> {
  const record = readRecord(state)
  if (record === undefined) return undefined
  if (isRunning(record)) {
    if (await becomesHealthy(record, answerMilliseconds)) {
      if (wantedPort !== undefined && wantedPort !== record.port) {
        throw new InputError(
          `The Temporal server of ${state.root} runs on port ${record.port} already (started by ${record.startedBy}): stop that command first, or leave --port out.`,
        )
      }
      return record
    }
    await endProcess(record, stopMilliseconds)
  }
  rmSync(state.serverFile, { force: true })
  return undefined
}

async function startServer(state: StateFolder, options: TemporalServerOptions): Promise<ServerRecord> {
  if (options.port !== undefined) {
    await requireFreePort(options.port, 'stop that program or choose another port with --port')
  }
  const binary = await findTemporalBinary({
    environment: options.environment,
    cacheDir: options.downloadCache,
    say: options.say,
    ...(options.signal && { signal: options.signal }),
  })
  options.signal?.throwIfAborted()
  options.say(`Starting a Temporal server from ${binary.from}.`)
  // A free port can be taken by another program before the server has it.
  const attempts = options.port === undefined ? 3 : 1
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort())
    const started = await launch(state, binary.path, port, await freePort(), options)
    if ('identity' in started) {
      const { identity, uiPort } = started
      const record: ServerRecord = {
        ...identity,
        port,
        uiPort,
        from: binary.from,
        startedBy: options.command,
      }
      await writeFile(`${state.serverFile}.partial`, JSON.stringify(record, null, 2))
      await rename(`${state.serverFile}.partial`, state.serverFile)
      return record
    }
    if (attempt === attempts) {
      throw new TransientError(
        `The Temporal server did not start: ${started.why} (its log: ${logFile(state)}).`,
      )
    }
  }
}

async function launch(
  state: StateFolder,
  binary: string,
  port: number,
  uiPort: number,
  options: TemporalServerOptions,
): Promise<{ identity: ProcessIdentity; uiPort: number } | { why: string }> {
  const attributes = Object.entries(options.searchAttributes).flatMap(([name, type]) => [
    '--search-attribute',
    `${name}=${type}`,
  ])
  const log = openSync(logFile(state), 'w')
  // Of a process group of its own: Ctrl-C in the terminal must not reach it before the worker has said goodbye.
  const child = spawn(
    binary,
    [
      'server',
      'start-dev',
      ...['--db-filename', state.temporalDatabase],
      ...['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)],
      ...['--log-level', 'warn', '--ui-disable-news-fetch'],
      // No question to the vendor about newer versions: this machine may be offline, and it is nobody's business.
      ...['--dynamic-config-value', 'frontend.enableServerVersionCheck=false'],
      ...attributes,
    ],
    { detached: true, stdio: ['ignore', log, log] },
  )
  closeSync(log)
  child.unref()
  let failure: string | undefined
  child.on('error', (error) => (failure = error.message))
  child.on(
    'exit',
    (code, signal) => (failure = `it ended with ${signal ?? `exit code ${code}`}: ${lastWords(state)}`),
  )
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid)
  for (let waited = 0; waited < startMilliseconds && failure === undefined; waited += 100) {
    if (options.signal?.aborted) break
    const health = await grpcHealth(`127.0.0.1:${port}`, frontendService, answerMilliseconds)
    if (health.serving && identity !== undefined && failure === undefined) {
      child.removeAllListeners()
      return { identity, uiPort }
    }
    await sleep(100)
  }
  if (identity !== undefined) await endProcess(identity, stopMilliseconds)
  options.signal?.throwIfAborted()
  return { why: failure ?? `it did not answer within ${startMilliseconds / 1000} s` }
}

async function becomesHealthy(record: ServerRecord, milliseconds: number): Promise<boolean> {
  const end = performance.now() + milliseconds
  do {
    if ((await grpcHealth(addressOf(record), frontendService, milliseconds)).serving) return true
    await sleep(100)
  } while (performance.now() < end && isRunning(record))
  return false
}

function addressOf(record: ServerRecord): string {
  return `127.0.0.1:${record.port}`
}

function logFile(state: StateFolder): string {
  return join(state.logs, 'temporal.log')
}

function lastWords(state: StateFolder): string {
  const lines = readFileSync(logFile(state), 'utf8').trim().split('\n')
  return lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? 'without a word'
}

function readRecord(state: StateFolder): ServerRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(state.serverFile, 'utf8')) as Partial<ServerRecord>
    const isWhole =
      typeof record.pid === 'number' && typeof record.started === 'string' && typeof record.port === 'number'
    return isWhole ? (record as ServerRecord) : undefined
  } catch {
    return undefined
  }
}
