import type { ArtifactRef } from '../store/artifact.ts'

/** What a stage hands on: where its artifact is, and small numbers about it. */
export interface StageOutcome<S extends object = object> {
  /** Undefined for a stage that makes no artifact. */
  ref?: ArtifactRef
  /** The artifact was there already: nothing was done. */
  skipped: boolean
  summary: S
}
