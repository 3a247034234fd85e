import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { WorkerMessage } from '../worker/main.ts'
import type { Session } from './session.ts'

/** A worker that dies this often is not killed by chance. */
const MAX_RESTARTS = 20
const RESTART_MILLISECONDS = 1_000

export interface WorkerProcess {
  /** Resolves when it polls its queues; rejects where it could not start. */
  ready: Promise<void>
  /** Rejects when it has died too often. */
  lost: Promise<never>
  pid(): number | undefined
  /** Running stages save their state, then the process ends. */
  stop(): Promise<void>
  kill(): void
}

/**
 * Runs a worker beside this command, in a process of its own: the display stays live while a stage computes, and what kills
 * the worker does not kill the command, which starts another one.
 */
export function startWorker(session: Session, say: (message: string) => void): WorkerProcess {
  const logFile = join(session.state.logs, 'worker.log')
  const lost = Promise.withResolvers<never>()
  // Whoever stops waiting for it must not see it as unhandled.
  lost.promise.catch(() => {})
  let isStopping = false
  let restarts = 0
  let current = launch(session, logFile)

  void (async () => {
    for (;;) {
      const end = await current.ended
      if (isStopping) return
      if (!current.wasReady || ++restarts > MAX_RESTARTS) {
        lost.reject(new Error(`the worker ended by itself (${end}); its log: ${logFile}`))
        return
      }
      say(`The worker was lost (${end}); starting another one.`)
      await sleep(RESTART_MILLISECONDS)
      if (isStopping) return
      current = launch(session, logFile)
      current.ready.catch(() => {})
    }
  })()

  return {
    ready: current.ready,
    lost: lost.promise,
    pid: () => current.child.pid,
    async stop() {
      isStopping = true
      current.child.kill('SIGTERM')
      await current.ended
    },
    kill() {
      isStopping = true
      current.child.kill('SIGKILL')
    },
  }
}

interface Launched {
  child: ChildProcess
  ready: Promise<void>
  wasReady: boolean
  /** How it ended, in words. */
  ended: Promise<string>
}

function launch(session: Session, logFile: string): Launched {
  const entry = fileURLToPath(new URL(`../worker/main${extname(import.meta.url)}`, import.meta.url))
  const log = openSync(logFile, 'a')
  // A process group of its own: Ctrl-C in the terminal reaches this command, which then stops the worker in good order.
  const child = spawn(process.execPath, [entry], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, ...session.workerEnvironment },
  })
  closeSync(log)
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<string>()
  const launched: Launched = { child, ready: ready.promise, wasReady: false, ended: ended.promise }
  child.on('message', (message: WorkerMessage) => {
    if (message.type === 'failed') {
      ready.reject(new Error(message.message))
      return
    }
    launched.wasReady = true
    ready.resolve()
  })
  child.on('error', (error) => {
    ready.reject(error)
    ended.resolve(error.message)
  })
  child.on('exit', (code, signal) => {
    const end = signal ?? `exit code ${code}`
    ready.reject(new Error(`the worker did not start (${end}); its log: ${logFile}`))
    ended.resolve(end)
  })
  return launched
}
