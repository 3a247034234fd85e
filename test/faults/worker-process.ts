import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { trainerOf } from './trainer-process.ts'

const entry = fileURLToPath(new URL('../../worker/main.ts', import.meta.url))

/** What brings a dead worker back (temper, a pod's kubelet) takes about this long to notice. */
const RESTART_MILLISECONDS = 1_000

/**
 * The worker's real process, started again when it dies, as the temper command and a pod's kubelet do. `home` is its state
 * folder: its name is in the arguments of all that it starts.
 */
export class SupervisedWorker {
  readonly home: string
  readonly #environment: Record<string, string>
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #isStopping = false

  constructor(home: string, environment: Record<string, string>) {
    this.home = home
    this.#environment = environment
  }

  /** Resolves when it polls its queues. */
  async start(more: Record<string, string> = {}): Promise<void> {
    this.#isStopping = false
    mkdirSync(this.home, { recursive: true })
    const log = openSync(join(this.home, 'worker.log'), 'a')
    const { TEMPORAL_NAMESPACE: _, TEMPER_QUEUES: __, ...inherited } = process.env
    const child = spawn(process.execPath, [entry], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...inherited, ...this.#environment, TEMPER_HOME: this.home, ...more },
    })
    closeSync(log)
    this.#child = child
    const ready = Promise.withResolvers<void>()
    child.on('message', ({ type, message }: { type: string; message?: string }) => {
      if (type === 'ready') ready.resolve()
      else ready.reject(new Error(message))
    })
    this.#ended = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        ready.reject(new Error(`the worker did not start (${signal ?? code}); see ${this.home}/worker.log`))
        resolve()
        if (signal !== 'SIGKILL' || this.#isStopping) return
        void sleep(RESTART_MILLISECONDS).then(() => {
          if (!this.#isStopping) this.start(more).catch(() => {})
        })
      })
    })
    await ready.promise
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  trainer(): number | undefined {
    return trainerOf(this.pid)
  }

  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  /** Killed, and not brought back before the next start. */
  async killForGood(): Promise<void> {
    this.#isStopping = true
    this.kill()
    await this.#ended
  }

  /** In good order, as SIGTERM does it. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#child?.kill('SIGTERM')
    await this.#ended
  }
}
