import { InputError, TransientError } from '../src/errors.ts'

/** The job, or the command, did not come to its end. */
const EXIT_FAILED = 1
/** Something that the user gave has to be mended. */
export const EXIT_INPUT = 2

/** A job ended without a result. The message is one sentence; the job's log has the rest. */
export class JobFailedError extends Error {}

/** What to say of an error, and how to exit. Only a defect of temper itself has a log to look into. */
export function explainError(
  error: unknown,
  logFolder: string,
): { text: string; exitCode: number; isDefect: boolean } {
  if (error instanceof InputError) return { text: error.message, exitCode: EXIT_INPUT, isDefect: false }
  if (error instanceof JobFailedError || error instanceof TransientError) {
    return { text: error.message, exitCode: EXIT_FAILED, isDefect: false }
  }
  const message = error instanceof Error ? error.message : String(error)
  return {
    text: `${message || 'unknown error'} (this should not happen; details are in ${logFolder})`,
    exitCode: EXIT_FAILED,
    isDefect: true,
  }
}
