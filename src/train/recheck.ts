import type { LogLine } from './child-protocol.ts'
import { differences, type Environment } from './environment.ts'
import type { TrainingRecord, TrainingState } from './training-state.ts'

/** The loss that a checkpoint recorded for what comes next, and the same computed again on resume. */
export interface Recheck {
  step: number
  recorded: number
  recomputed: number
}

/** Relative to what was recorded; nothing where there is nothing to compare. */
export function lossDifference(found: Recheck | undefined): { lossDifference?: number } {
  if (!found) return {}
  return { lossDifference: Math.abs(found.recomputed / found.recorded - 1) }
}

interface RecheckedJob {
  environment: Environment
  resumeFrom: TrainingState | undefined
  log: (line: LogLine) => void
}

/** Compares what a resumed training begins with to what was recorded. What differs in the same environment is damage. */
export function recheck(
  { environment, resumeFrom, log }: RecheckedJob,
  record: TrainingRecord,
  recorded: number,
  recomputed: number,
): Recheck {
  const { step } = record
  const isSameEnvironment = resumeFrom && differences(resumeFrom.record.environment, environment).length === 0
  const fields = { step, recorded, recomputed, difference: Math.abs(recomputed - recorded) / recorded }
  if (recorded === recomputed) {
    log({ level: 'info', message: 'the loss that was recorded is found again', fields })
  } else if (isSameEnvironment) {
    record.exact = false
    log({
      level: 'error',
      message: `possible silent corruption: resumed at step ${step}, the loss is ${recomputed} where ${recorded} was recorded`,
      fields,
    })
  } else {
    log({ level: 'warn', message: 'the loss differs from the one recorded elsewhere', fields })
  }
  return { step, recorded, recomputed }
}
