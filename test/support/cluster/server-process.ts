import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { endProcess } from '../../../src/local/end-process.ts'
import { type ProcessIdentity, identifyProcess, isRunning } from '../../../src/local/process-identity.ts'

/** A server that a test has started. Its log is a file: it can be read after a failure, and no pipe fills up. */
export interface ServerProcess {
  name: string
  identity: ProcessIdentity
  log: string
  isRunning(): boolean
  /** Resident memory in bytes, now. */
  memory(): number
  /** Asks it to end; with SIGKILL it gets no chance to say anything to anybody. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

export interface ServerOptions {
  log: string
  environment?: Record<string, string>
  /** How long it may take to end by itself before it is killed. */
  graceMilliseconds?: number
}

export async function startServer(
  name: string,
  command: string,
  args: readonly string[],
  { log, environment, graceMilliseconds = 10_000 }: ServerOptions,
): Promise<ServerProcess> {
  const file = openSync(log, 'a')
  const [program, ...words] = diesWithUs([command, ...args])
  const child = spawn(program, words, {
    stdio: ['ignore', file, file],
    env: { ...process.env, ...environment },
  })
  closeSync(file)
  await once(child, 'spawn')
  // It must not keep a test file alive whose tests are done.
  child.unref()
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid)
  if (identity === undefined) throw new Error(`${name} ended at once: ${lastWords(log)}`)
  return {
    name,
    identity,
    log,
    isRunning: () => isRunning(identity),
    memory: () => residentBytes(identity.pid),
    stop: (signal) => end(identity, signal, graceMilliseconds),
  }
}

export async function end(
  identity: ProcessIdentity,
  signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
  graceMilliseconds = 10_000,
): Promise<void> {
  if (signal === 'SIGKILL' && isRunning(identity)) process.kill(identity.pid, 'SIGKILL')
  await endProcess(identity, graceMilliseconds)
}

/** Waits until `check` answers true. Throws with the server's last words when it ends, or with the last refusal when time is up. */
export async function untilReady(
  server: ServerProcess,
  milliseconds: number,
  check: () => Promise<boolean>,
): Promise<void> {
  const pollMilliseconds = 50
  const end = performance.now() + milliseconds
  for (;;) {
    let reason = 'it is not ready'
    try {
      if (await check()) return
    } catch (error) {
      reason = (error as Error).message
    }
    if (!server.isRunning()) throw new Error(`${server.name} ended: ${lastWords(server.log)}`)
    if (performance.now() > end) {
      throw new Error(
        `${server.name} is not ready after ${milliseconds / 1000} s (${reason}): ${lastWords(server.log)}`,
      )
    }
    await sleep(pollMilliseconds)
  }
}

/** A test that is killed can stop nothing: the kernel ends its servers then. Only Linux can do that. */
export function diesWithUs(command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--', ...command] : command
}

export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

function lastWords(log: string): string {
  const maxCharacters = 2_000
  return readFileSync(log, 'utf8').slice(-maxCharacters)
}
