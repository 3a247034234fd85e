import { type ChildProcess, fork } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StoppedError } from '../errors.ts'
import type {
  ChildMessage,
  ChildSummaries,
  ChildTask,
  LogLine,
  ParentMessage,
  Progress,
  SavedCheckpoint,
} from './child-protocol.ts'
import type { Clock } from './clock.ts'
import { errorOfExit, exitNameOf, saysOutOfMemory } from './exit-codes.ts'
import { LEAN_PROCESS } from './lean-process.ts'
import { siblingModule } from './sibling-module.ts'
import { STALL_LIMITS, type StallLimits, StallWatch } from './stall-watch.ts'

export interface RunChildOptions {
  /** Aborted: the child saves its state and ends; the promise rejects with StoppedError. */
  signal: AbortSignal
  clock: Clock
  onProgress?: (progress: Progress) => void
  onCheckpoint?: (saved: SavedCheckpoint) => void
  onLog?: (line: LogLine) => void
  stallLimits?: StallLimits
  /** From the request to stop to SIGKILL, in milliseconds. */
  stopGrace?: number
}

/** What is known of a child that did not finish: the `cause` of the error that runChild throws. */
export interface ChildEvidence {
  pid: number | undefined
  exitCode: number | null
  signal: NodeJS.Signals | null
  /** Set where the parent killed it for its silence; in seconds. */
  stalled?: { phase: Progress['phase']; silent: number; limit: number }
  /** Where it was, as far as it said. */
  progress?: Progress
  /** The end of what it wrote to stdout and stderr. */
  lastWords: string
}

/** A stop waits for one micro-batch and one upload of the state; a pod's own grace period is usually 30 s. */
const STOP_GRACE = 60_000
/** Enough for a stack trace or ONNX Runtime's error with its node's name. */
const LAST_WORDS = 8192
const WATCH_EVERY = 1000

/**
 * Runs one task in a child process, to its end. Writes the task (without secrets) to `scratchDir`/child.json.
 * Rejects with the error class of the child's exit code, TransientError where it stalled or died by a signal; `cause` is a
 * ChildEvidence. No child outlives the promise, nor this process: see child.ts.
 */
export async function runChild<T extends ChildTask>(
  task: T,
  scratchDir: string,
  options: RunChildOptions,
): Promise<ChildSummaries[T['kind']]> {
  if (options.signal.aborted) throw new StoppedError('stopped before it began')
  const configPath = join(scratchDir, 'child.json')
  await writeFile(configPath, JSON.stringify(task))
  const child = fork(siblingModule('child', import.meta.url), [configPath], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [...LEAN_PROCESS.execArgv],
    // Whoever sets these for the worker means them.
    env: { ...LEAN_PROCESS.env, ...process.env },
  })
  options.onLog?.({
    level: 'info',
    message: 'child process started',
    fields: { task: task.kind, pid: child.pid },
  })
  const { summary, failure, evidence } = await watch(child, options)
  // What counts is what it said it finished: its files were on the disk before. How it died afterwards does not undo that.
  if (summary !== undefined) return summary as ChildSummaries[T['kind']]
  throw errorOf(failure, evidence)
}

interface End {
  summary?: unknown
  failure?: string
  evidence: ChildEvidence
}

async function watch(child: ChildProcess, options: RunChildOptions): Promise<End> {
  const { clock, signal, stopGrace = STOP_GRACE } = options
  const stalls = new StallWatch(options.stallLimits ?? STALL_LIMITS, clock.now())
  const end: End = { evidence: { pid: child.pid, exitCode: null, signal: null, lastWords: '' } }
  const { evidence } = end

  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      evidence.lastWords = (evidence.lastWords + text).slice(-LAST_WORDS)
    })

  child.on('message', (raw) => {
    const message = raw as ChildMessage
    switch (message.type) {
      case 'progress': {
        const { type: _, ...progress } = message
        stalls.observe(progress, clock.now())
        evidence.progress = progress
        return options.onProgress?.(progress)
      }
      case 'checkpoint': {
        const { type: _, ...saved } = message
        return options.onCheckpoint?.(saved)
      }
      case 'log': {
        const { type: _, ...line } = message
        return options.onLog?.(line)
      }
      case 'finished':
        end.summary = message.summary
        return
      case 'failed':
        end.failure = message.message
        return
    }
  })

  // Two looks in a row: after this process was itself suspended, the first look comes before the messages that wait in the pipe.
  let suspected = false
  const stallTimer = setInterval(() => {
    const overdue = stalls.overdue(clock.now())
    if (overdue && suspected) {
      evidence.stalled = { phase: overdue.phase, silent: overdue.silent / 1000, limit: overdue.limit / 1000 }
      child.kill('SIGKILL')
    }
    suspected = overdue !== undefined
  }, WATCH_EVERY)

  let graceTimer: NodeJS.Timeout | undefined
  const stop = () => {
    const message: ParentMessage = { type: 'stop', reason: String(signal.reason) }
    // A child that is gone already needs no message; its end is on the way.
    if (child.connected) child.send(message, () => {})
    graceTimer = setTimeout(() => child.kill('SIGKILL'), stopGrace)
  }
  signal.addEventListener('abort', stop, { once: true })

  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (error) => {
        // Not started. An error while it runs (a message that could not be sent) is followed by its end.
        if (child.pid === undefined) reject(error)
      })
      // After 'close' the pipes and the channel have been read to their ends, unlike after 'exit'.
      child.once('close', (exitCode, killedBy) => {
        evidence.exitCode = exitCode
        evidence.signal = killedBy
        resolve()
      })
    })
  } finally {
    signal.removeEventListener('abort', stop)
    clearInterval(stallTimer)
    clearTimeout(graceTimer)
  }
  return end
}

function errorOf(failure: string | undefined, evidence: ChildEvidence): Error {
  const { exitCode, signal, stalled, progress, lastWords } = evidence
  const where = progress
    ? ` in phase ${progress.phase}, step ${progress.step} of ${progress.steps}`
    : ' before its first word'
  if (stalled) {
    const { phase, silent, limit } = stalled
    return errorOfExit(
      'transient',
      `The trainer was killed: no progress for ${silent.toFixed(0)} s in phase ${phase}, where ${limit.toFixed(0)} s are the limit`,
      evidence,
    )
  }
  if (exitCode === null) {
    // V8 aborts when its heap is full, and so does C++ on an exception that nobody catches.
    const name = signal === 'SIGABRT' && saysOutOfMemory(lastWords) ? 'outOfMemory' : 'transient'
    return errorOfExit(name, `The trainer was killed by ${signal}${where}`, evidence)
  }
  const name = exitNameOf(exitCode)
  const unsaid = `The trainer ended with exit code ${exitCode}${where}: ${lastWords.trim() || 'no last words'}`
  return errorOfExit(name === 'finished' ? 'internal' : name, failure ?? unsaid, evidence)
}
