import { setImmediate } from 'node:timers/promises'
import { StoppedError } from '../errors.ts'

/** Called from time to time while rows go by. `of` is the number of rows where it is known: cleaning reads its files once only. */
export type DataProgress = (report: { step: 'clean' | 'tokenize'; rows: number; of?: number }) => void

/** Rows between two breaths: text work is synchronous, and heartbeats and signals need the event loop. */
export const ROWS_PER_BREATH = 64

/** Lets the event loop run; StoppedError where the caller has asked to stop (nothing has been written then). */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate()
  if (signal?.aborted)
    throw new StoppedError('The data stage was stopped; it starts again from its beginning')
}
