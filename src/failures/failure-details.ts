import type { FailureKind } from './failure-kind.ts'

/** What an attempt that failed has lost: what has to be done again, counted from the newest checkpoint. */
export interface Lost {
  /** Optimizer steps. */
  steps: number
  /** Of the machine that trained: GPU-seconds where it has a GPU. */
  seconds: number
}

/** What travels with a failure from the worker to the workflow, beside kind and message. */
export interface FailureDetails {
  evidence: string[]
  lost?: Lost
  /** A node that the next attempt should avoid. */
  avoidNode?: string
  /** A worker that the next attempt should not be for: its pod is gone, and its process may not have heard of it yet. */
  avoidWorker?: string
}

/** What the attempt before this one met: an attempt that ends well has recovered from it. */
export interface Recovered {
  kind: FailureKind
  lost?: Lost
}

/** Failures of a stage that were answered, by kind. */
export type FailureCounts = Partial<Record<FailureKind, Lost & { times: number }>>

/** Counts one more. */
export function countFailure(counts: FailureCounts, kind: FailureKind, lost: Lost): void {
  const { times, steps, seconds } = counts[kind] ?? { times: 0, steps: 0, seconds: 0 }
  counts[kind] = { times: times + 1, steps: steps + lost.steps, seconds: seconds + lost.seconds }
}
