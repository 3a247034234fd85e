/**
 * What went wrong, by what has to happen next. Every kind stands in FAILURES (failures.ts) with its evidence, answer and
 * budget; docs/failures.md is made from there.
 */
export const FAILURE_KINDS = [
  'input',
  'diverged',
  'outOfMemory',
  'stalled',
  'killed',
  'lost',
  'preempted',
  'nodeLost',
  'hardware',
  'gpuFault',
  'transient',
  'corrupt',
  'fenced',
  'stopped',
  'internal',
] as const
export type FailureKind = (typeof FAILURE_KINDS)[number]

export function isFailureKind(name: string): name is FailureKind {
  return (FAILURE_KINDS as readonly string[]).includes(name)
}

const KIND_OF_ERROR: Record<string, FailureKind> = {
  InputError: 'input',
  NonFiniteError: 'diverged',
  OutOfMemoryError: 'outOfMemory',
  FencedError: 'fenced',
  TransientError: 'transient',
  // Whoever lost a race reads again: the same stage, once more.
  ConflictError: 'transient',
  StoppedError: 'stopped',
  CorruptError: 'corrupt',
}

/** The kind that an error class of src/errors.ts stands for; any other name is a defect. */
export function kindOfErrorName(name: string): FailureKind {
  return KIND_OF_ERROR[name] ?? 'internal'
}
