import type { Precision } from '../model/precision.ts'
import { choosePrecision } from './choose-precision.ts'
import type { PrecisionChoice } from './precision-choice.ts'
import type { TrainingState } from './training-state.ts'

interface Asked {
  asked: Precision | 'auto'
  resumeFrom: TrainingState | undefined
  /** InputError where a training in this precision has no room. */
  refuse: (precision: Precision) => void
  /** What choosing needs. */
  choosing: Parameters<typeof choosePrecision>[0]
  told: (choice: PrecisionChoice) => void
}

/**
 * The precision that a job trains in; `choice` where it was Temper's to choose. What was chosen stays chosen: a resume only reads it.
 * A checkpoint without a choice is older than choosing, when `auto` was `exact`.
 */
export async function precisionOfJob({ asked, resumeFrom, refuse, choosing, told }: Asked): Promise<{
  precision: Precision
  choice?: PrecisionChoice
}> {
  const choice = asked === 'auto' ? resumeFrom?.record.precision : undefined
  const known = asked === 'auto' ? (choice?.chosen ?? (resumeFrom && 'exact')) : asked
  // `fast` is measured against `exact`, and takes less.
  refuse(known ?? 'exact')
  if (known) return { precision: known, ...(choice && { choice }) }
  const chosen = await choosePrecision(choosing)
  told(chosen)
  return { precision: chosen.chosen, choice: chosen }
}
