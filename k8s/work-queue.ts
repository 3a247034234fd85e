/** Waits after a failure: doubled from the first to the longest. */
const FIRST_WAIT_MILLISECONDS = 500
const LONGEST_WAIT_MILLISECONDS = 60_000

interface WorkQueueOptions {
  /** Keys worked on at once. */
  concurrency: number
  /** Does the work of a key; answers in how many milliseconds to do it again, if ever. */
  work(key: string): Promise<number | undefined>
  failed(key: string, error: unknown): void
}

/**
 * Keys that want a look, each at most once at a time. A key that is added while it is worked on is worked on once more
 * afterwards; one whose work fails comes back, later each time.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #waiting = new Set<string>()
  readonly #busy = new Map<string, Promise<void>>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #failures = new Map<string, number>()
  #isStopped = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
  }

  /** Keys that wait or are worked on now. */
  get depth(): number {
    return this.#waiting.size + this.#busy.size
  }

  add(key: string): void {
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
    this.#waiting.add(key)
    this.#next()
  }

  /** Begins no more work and waits for what is begun. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
    await Promise.all(this.#busy.values())
  }

  #next(): void {
    if (this.#isStopped) return
    for (const key of this.#waiting) {
      if (this.#busy.size >= this.#options.concurrency) return
      if (this.#busy.has(key)) continue
      this.#waiting.delete(key)
      this.#busy.set(key, this.#work(key))
    }
  }

  async #work(key: string): Promise<void> {
    let again: number | undefined
    try {
      again = await this.#options.work(key)
      this.#failures.delete(key)
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0
      this.#failures.set(key, failures + 1)
      again = Math.min(LONGEST_WAIT_MILLISECONDS, FIRST_WAIT_MILLISECONDS * 2 ** failures)
      this.#options.failed(key, error)
    }
    this.#busy.delete(key)
    if (again !== undefined && !this.#waiting.has(key) && !this.#isStopped) {
      this.#timers.set(
        key,
        setTimeout(() => this.add(key), again),
      )
    }
    this.#next()
  }
}
