import {
  CorruptError,
  FencedError,
  InputError,
  NonFiniteError,
  OutOfMemoryError,
  StoppedError,
  TransientError,
} from '../errors.ts'

/**
 * How the trainer's child process ends: the fixed table of docs/training-child.md. Whoever decides what to do about a failed
 * job reads these numbers, so a number is never given another meaning. Death by a signal has no code: it is evidence of its own.
 */
export const EXIT = {
  finished: 0,
  input: 10,
  notFinite: 11,
  outOfMemory: 12,
  fenced: 13,
  transient: 14,
  stopped: 15,
  corrupt: 16,
  internal: 70,
} as const

export type ExitName = keyof typeof EXIT
export type ExitCode = (typeof EXIT)[ExitName]

/**
 * What ONNX Runtime's arenas, the C++ runtime, CUDA and V8 say when memory runs out. They have no error code for it,
 * only these words.
 */
const OUT_OF_MEMORY =
  /bad_alloc|Failed to allocate memory|Available memory of \d+ is smaller|out of memory|Array buffer allocation failed|\bENOMEM\b/i

/** True where the text is that of an allocation that failed. */
export function saysOutOfMemory(text: string): boolean {
  return OUT_OF_MEMORY.test(text)
}

/** The exit code for what ended the child's work. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof InputError) return EXIT.input
  if (error instanceof NonFiniteError) return EXIT.notFinite
  if (error instanceof OutOfMemoryError) return EXIT.outOfMemory
  if (error instanceof FencedError) return EXIT.fenced
  if (error instanceof TransientError) return EXIT.transient
  if (error instanceof StoppedError) return EXIT.stopped
  if (error instanceof CorruptError) return EXIT.corrupt
  return saysOutOfMemory(String(error)) ? EXIT.outOfMemory : EXIT.internal
}

/** The name of a code; `internal` for one that is not in the table (Node's own, such as 1 or 7, mean a defect as well). */
export function exitNameOf(code: number): ExitName {
  const entry = Object.entries(EXIT).find(([, value]) => value === code)
  return entry ? (entry[0] as ExitName) : 'internal'
}

/** The error class that makes the parent's caller decide as the child would have. */
export function errorOfExit(name: Exclude<ExitName, 'finished'>, message: string, cause: unknown): Error {
  switch (name) {
    case 'input':
      return new InputError(message, { cause })
    case 'notFinite':
      return new NonFiniteError(message, { cause })
    case 'outOfMemory':
      return new OutOfMemoryError(message, { cause })
    case 'fenced':
      return new FencedError(message, { cause })
    case 'transient':
      return new TransientError(message, { cause })
    case 'stopped':
      return new StoppedError(message, { cause })
    case 'corrupt':
      return new CorruptError(message, { cause })
    case 'internal':
      return new Error(message, { cause })
  }
}
