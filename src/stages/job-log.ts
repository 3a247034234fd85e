import type { Store } from '../store/store.ts'
import type { LogLine } from '../train/child-protocol.ts'

/** One line of a job's log, as it lies in the store. */
export interface JobLogLine extends LogLine {
  /** ISO 8601, by the clock of the machine that wrote it. */
  time: string
  stage: string
  attempt: string
  /** Of the command that started the job: the same in every line that follows from it. */
  trace?: string
}

export interface JobLogPlace {
  jobId: string
  stage: string
  attempt: string
  trace?: string | undefined
  /** Hears every line as it is written. */
  hear?: ((line: LogLine) => void) | undefined
}

/** Lines are kept back at most this long: what is read by `temper logs -f` is that old. */
const FLUSH_MILLISECONDS = 2_000
/** Digits of a chunk's number: keys sort as they were written for as long as a job may last. */
const NUMBER_DIGITS = 6

/**
 * The log of one attempt of a stage, kept in the store so that it outlives the worker. A store cannot append, so lines go into
 * numbered chunks: `jobs/<jobId>/logs/<stage>/<attempt>-<n>.jsonl`. Logging never fails a job: what cannot be written
 * is tried again with the next chunk.
 */
export class JobLog {
  readonly #store: Store
  readonly #prefix: string
  readonly #labels: Pick<JobLogLine, 'stage' | 'attempt' | 'trace'>
  readonly #hear: (line: LogLine) => void
  readonly #now: () => Date
  readonly #timer: NodeJS.Timeout
  #lines: JobLogLine[] = []
  #chunks = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(store: Store, at: JobLogPlace, now: () => Date = () => new Date()) {
    this.#store = store
    this.#prefix = `${jobLogPrefix(at.jobId)}${at.stage}/${at.attempt}`
    this.#labels = { stage: at.stage, attempt: at.attempt, ...(at.trace && { trace: at.trace }) }
    this.#hear = at.hear ?? (() => {})
    this.#now = now
    this.#timer = setInterval(() => void this.#flush(), FLUSH_MILLISECONDS)
  }

  write(line: LogLine): void {
    this.#lines.push({ time: this.#now().toISOString(), ...this.#labels, ...line })
    this.#hear(line)
  }

  /** The last lines are in the store when this resolves, if the store takes them. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#flush()
  }

  #flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeChunk())
    return this.#writing
  }

  async #writeChunk(): Promise<void> {
    const lines = this.#lines
    if (lines.length === 0) return
    this.#lines = []
    const number = String(this.#chunks + 1).padStart(NUMBER_DIGITS, '0')
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    try {
      await this.#store.write(`${this.#prefix}-${number}.jsonl`, text, { kind: 'overwrite' })
      this.#chunks++
    } catch {
      this.#lines = [...lines, ...this.#lines]
    }
  }
}

/** The lines of a job that came since the last call, oldest first. Chunks never change, so each is read once. */
export function jobLogReader(store: Store, jobId: string): () => Promise<JobLogLine[]> {
  const seen = new Set<string>()
  return async () => {
    const lines: JobLogLine[] = []
    for await (const { key } of store.list(jobLogPrefix(jobId))) {
      if (seen.has(key)) continue
      const chunk = await store.read(key)
      if (chunk === undefined) continue
      seen.add(key)
      const text = new TextDecoder().decode(chunk.bytes)
      for (const line of text.split('\n')) if (line !== '') lines.push(JSON.parse(line) as JobLogLine)
    }
    return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  }
}

function jobLogPrefix(jobId: string): string {
  return `jobs/${jobId}/logs/`
}
