import type { TrainingRecord } from './training-state.ts'

/** metrics.jsonl: the lines of training, each evaluation behind those up to its step, as transformers' log_history has them. */
export function metricLines({ metrics, evaluation }: TrainingRecord): string {
  const lines: { step: number }[] = [...metrics, ...(evaluation?.lines ?? [])]
  return lines
    .toSorted((a, b) => a.step - b.step)
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('')
}
