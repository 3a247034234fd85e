import type { LogLine } from '../train/child-protocol.ts'
import type { Clock } from '../train/clock.ts'
import type { Store } from '../store/store.ts'
import type { StageProgress } from './stage-progress.ts'

/** What a stage needs of the place where it runs. The edges fill it in: a worker's activity, a test. */
export interface StageContext {
  store: Store
  /** An empty folder of this attempt's own; removed afterwards by whoever made it. */
  scratchDir: string
  /** Local copies of artifacts of a remote store. */
  artifactCache: string
  /** Base models fetched once for all jobs. */
  downloadCache: string
  /** For HF_TOKEN, HF_ENDPOINT and the like. */
  environment: Record<string, string | undefined>
  clock: Clock
  /** Differs between any two attempts of any two jobs. */
  attemptName: string
  /** The run that this attempt belongs to: the same for its attempts, another for a job that is run again. */
  run: string
  /** Aborted: save what is worth saving and reject. */
  signal: AbortSignal
  progress(progress: StageProgress): void
  log(line: LogLine): void
}
