/** transformers' names. */
export type ScheduleName = 'linear' | 'cosine' | 'constant' | 'constant_with_warmup'

export interface Schedule {
  name: ScheduleName
  /** The highest rate. */
  learningRate: number
  warmupSteps: number
  /** Optimizer steps of the whole run. */
  totalSteps: number
}

/**
 * The rate of optimizer step `step`, counted from 0. Formulas of transformers' optimization.py; as there, the first step
 * of a warm-up has rate 0.
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { name, learningRate, warmupSteps, totalSteps } = schedule
  if (name === 'constant') return learningRate
  if (step < warmupSteps) return learningRate * (step / Math.max(1, warmupSteps))
  const after = Math.max(1, totalSteps - warmupSteps)
  switch (name) {
    case 'constant_with_warmup':
      return learningRate
    case 'linear':
      return learningRate * Math.max(0, (totalSteps - step) / after)
    case 'cosine':
      return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - warmupSteps) / after))))
  }
}
