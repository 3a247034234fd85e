import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { within } from './limit.ts'
import { processesNaming, trainerOf } from './trainer-process.ts'

const entry = fileURLToPath(new URL('../../worker/main.ts', import.meta.url))

/** What brings a dead worker back (temper, a pod's kubelet) takes about this long to notice. */
const RESTART_MILLISECONDS = 1_000
/** A bundle of the workflows is made at the first start; a busy machine takes its time. */
const START_SECONDS = 120
/** A worker gives its trainer 90 s to save. */
const STOP_SECONDS = 120
/** Starts in a row that did not get as far as polling: then nothing will. */
const MAX_FAILED_STARTS = 5

const ENTER_GROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"'

/**
 * The worker's real process, started again whenever it dies, as the temper command and a pod's kubelet do. `home` is its state
 * folder: its name is in the arguments of all that it starts.
 */
export class SupervisedWorker {
  readonly home: string
  /** Called once, when it cannot be brought back: whoever waits for its work would wait for ever. */
  onLost: (error: Error) => void = () => {}
  readonly #environment: Record<string, string>
  readonly #group: string | undefined
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #isStopping = false
  #failedStarts = 0

  constructor(home: string, environment: Record<string, string>, group?: string) {
    this.home = home
    this.#environment = environment
    this.#group = group
  }

  /** Resolves when it polls its queues. */
  async start(more: Record<string, string> = {}): Promise<void> {
    this.#isStopping = false
    mkdirSync(this.home, { recursive: true })
    const log = openSync(join(this.home, 'worker.log'), 'a')
    const { TEMPORAL_NAMESPACE: _, TEMPER_QUEUES: __, ...inherited } = process.env
    // A process enters a control group by writing its own number there, before it becomes the worker.
    const command = [process.execPath, entry]
    const [program = '', ...args] =
      this.#group === undefined ? command : ['/bin/sh', '-c', ENTER_GROUP, this.#group, ...command]
    const child = spawn(program, args, {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...inherited, ...this.#environment, TEMPER_HOME: this.home, ...more },
    })
    closeSync(log)
    this.#child = child
    const ready = Promise.withResolvers<void>()
    child.on('message', ({ type, message }: { type: string; message?: string }) => {
      if (type !== 'ready') return ready.reject(new Error(message))
      this.#failedStarts = 0
      ready.resolve()
    })
    this.#ended = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        ready.reject(new Error(`the worker did not start (${signal ?? code}): ${this.lastWords()}`))
        resolve()
        if (!this.#isStopping) void this.#bringBack(more, signal ?? `exit code ${code}`)
      })
    })
    try {
      await within(START_SECONDS, `the worker of ${this.home} to poll`, ready.promise)
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
  }

  async #bringBack(more: Record<string, string>, end: string): Promise<void> {
    await sleep(RESTART_MILLISECONDS)
    if (this.#isStopping) return
    if (++this.#failedStarts > MAX_FAILED_STARTS)
      return this.onLost(
        new Error(
          `the worker ended ${MAX_FAILED_STARTS} times before it polled (${end}): ${this.lastWords()}`,
        ),
      )
    // Its end before it polls brings it back once more.
    await this.start(more).catch(() => {})
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null
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
    await within(STOP_SECONDS, 'the end of a killed worker', this.#ended)
  }

  /** In good order, as SIGTERM does it. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#child?.kill('SIGTERM')
    await within(STOP_SECONDS, `the worker of ${this.home} to stop`, this.#ended)
  }

  /** At once, with all that it has started; nothing is left of it and nothing waited for. */
  abandon(): void {
    this.#isStopping = true
    this.kill()
    for (const { pid } of processesNaming(this.home)) endNow(pid)
  }

  lastWords(): string {
    const lines = readFileSync(join(this.home, 'worker.log'), 'utf8').trim().split('\n')
    return lines.slice(-3).join(' | ').slice(-1500)
  }
}

function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
