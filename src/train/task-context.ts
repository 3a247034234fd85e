import type { LogLine, Progress, SavedCheckpoint } from './child-protocol.ts'
import type { Clock } from './clock.ts'

/** What a task has of its process. */
export interface TaskContext {
  /** Aborted: save what is worth saving, then StoppedError. */
  signal: AbortSignal
  clock: Clock
  report: (progress: Progress) => void
  checkpointSaved: (saved: SavedCheckpoint) => void
  log: (line: LogLine) => void
}
