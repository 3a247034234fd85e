/**
 * What went wrong, by what has to happen next. An activity's failure carries the name of its error class as its type
 * (src/errors.ts); what Temporal itself notices (a silent worker) is added here. Each kind has its own budget: a node that is
 * lost again and again must not use up the patience for a flaky network, nor the other way round.
 */
export type FailureKind =
  'input' | 'notFinite' | 'outOfMemory' | 'fenced' | 'transient' | 'stopped' | 'corrupt' | 'lost' | 'internal'

export interface Budget {
  /** How often the stage is tried again after this kind of failure. */
  retries: number
  /** Wait before the first retry, doubled for each further one up to `longestWait`. Milliseconds. */
  firstWait: number
  longestWait: number
}

const never: Budget = { retries: 0, firstWait: 0, longestWait: 0 }

export const BUDGETS: Record<FailureKind, Budget> = {
  /** Only the user can mend it. */
  input: never,
  /** The same steps give the same infinity. */
  notFinite: never,
  /** The same batch on the same machine needs the same memory. */
  outOfMemory: never,
  /** A newer attempt owned the job; if this one is the live one after all, it takes the next epoch. */
  fenced: { retries: 5, firstWait: 1_000, longestWait: 30_000 },
  /** About four hours of an unreachable store or hub. */
  transient: { retries: 60, firstWait: 1_000, longestWait: 300_000 },
  /** A worker that is drained has saved its state and is nobody's fault. The number only bounds the history. */
  stopped: { retries: 500, firstWait: 0, longestWait: 0 },
  /** The bad bytes are set aside before the failure is reported; what is read next is something else. */
  corrupt: { retries: 3, firstWait: 1_000, longestWait: 10_000 },
  /** Killed, evicted, powered off. The number only bounds the history. */
  lost: { retries: 500, firstWait: 0, longestWait: 0 },
  /** A defect, most likely: once more for chance's sake. */
  internal: { retries: 1, firstWait: 1_000, longestWait: 1_000 },
}

const KIND_OF_ERROR: Record<string, FailureKind> = {
  InputError: 'input',
  NonFiniteError: 'notFinite',
  OutOfMemoryError: 'outOfMemory',
  FencedError: 'fenced',
  TransientError: 'transient',
  StoppedError: 'stopped',
  CorruptError: 'corrupt',
}

/** The kind of an error class's name, or of a kind's own (a child workflow's failure); any other name is a defect. */
export function kindOfType(type: string | null | undefined): FailureKind {
  if (type && type in BUDGETS) return type as FailureKind
  return KIND_OF_ERROR[type ?? ''] ?? 'internal'
}

/** Milliseconds to wait before the `retry`th retry (from 1). */
export function waitBefore(budget: Budget, retry: number): number {
  return Math.min(budget.longestWait, budget.firstWait * 2 ** (retry - 1))
}
