import type { StageContext } from '../stages/stage-context.ts'
import type { EvaluationSet } from './judge-challenger.ts'
import { type NightRecord, writeRecord } from './night-record.ts'
import { changeNightState, EMPTY_STATE, readNightState } from './night-state.ts'

export interface ConcludeInput {
  jobId: string
  attempt: number
  record: NightRecord
  /** Where a model was judged: what the watermark moves to. */
  judged?: { chunks: number; evaluationSet: EvaluationSet }
}

/**
 * Writes the night's record and, where a model was judged, moves the watermark: first the record, so that a kill in between
 * leaves a night that is concluded again, never rows that are counted as seen and stand in no record.
 */
export async function concludeNight(context: StageContext, input: ConcludeInput): Promise<NightRecord> {
  const { store } = context
  const { judged } = input
  const state = await readNightState(store, input.record.name)
  const isFailure = input.record.end === 'failed'
  const recovered = state?.failing === true && !isFailure
  const record: NightRecord = { ...input.record, ...(recovered && { recovered }) }
  await writeRecord(store, record.night, record)
  await changeNightState(store, record.name, (found) => {
    const { failing: _, ...before } = found ?? EMPTY_STATE
    return {
      ...before,
      ...(judged && {
        consumed: judged.chunks,
        evaluationSet: judged.evaluationSet,
        trainedAt: record.at,
      }),
      ...(isFailure && { failing: true }),
    }
  })
  return record
}
