import { AsyncLocalStorage } from 'node:async_hooks'
import type { StageProgress } from '../src/stages/stage-progress.ts'
import type { LogLine } from '../src/train/child-protocol.ts'

/** Whoever watches an attempt from outside: the worker's metrics and its own log. */
export interface AttemptObserver {
  /** Of the command that started the job. */
  traceId: string | undefined
  progress(progress: StageProgress): void
  log(line: LogLine): void
}

/** The observer of the attempt that this asynchronous context belongs to; undefined where nobody watches. */
export const attemptObserver = new AsyncLocalStorage<AttemptObserver>()
