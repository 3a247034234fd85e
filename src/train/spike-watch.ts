import type { TrainingRecord } from './training-state.ts'

export interface SpikeSettings {
  lossFactor: number
  patience: number
}

/** Losses of the median. Fewer than the least number say nothing about what is usual. */
const WINDOW = 32
const LEAST = 8
/** Nats: a small loss may well be three times another one by chance. */
const MARGIN = 1

/** Takes in the loss of a step; true where it is the last of `patience` spikes in a row. What is known lives in the record. */
export function isDiverging(
  rescue: TrainingRecord['rescue'],
  loss: number,
  { lossFactor, patience }: SpikeSettings,
): boolean {
  const { recent } = rescue
  const usual = median(recent)
  const isSpike = recent.length >= LEAST && loss > lossFactor * usual && loss > usual + MARGIN
  rescue.streak = isSpike ? rescue.streak + 1 : 0
  if (!isSpike) recent.push(loss)
  if (recent.length > WINDOW) recent.shift()
  return rescue.streak >= patience
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}
