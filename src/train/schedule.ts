/** transformers' names; those whose rate is no function of the step are in metric-schedule.ts. */
export type ScheduleName =
  | 'linear'
  | 'cosine'
  | 'cosine_with_restarts'
  | 'polynomial'
  | 'constant'
  | 'constant_with_warmup'
  | 'inverse_sqrt'
  | 'cosine_with_min_lr'
  | 'cosine_warmup_with_min_lr'
  | 'warmup_stable_decay'

/** transformers' lr_scheduler_kwargs. Each schedule reads its own. */
export interface ScheduleOptions {
  numCycles?: number
  power?: number
  lrEnd?: number
  timescale?: number
  minLr?: number
  minLrRate?: number
  warmupLrRate?: number
  numDecaySteps?: number
  numStableSteps?: number
  minLrRatio?: number
  decayType?: 'linear' | 'cosine' | '1-sqrt'
}

export interface Schedule {
  name: ScheduleName
  /** The highest rate. */
  learningRate: number
  warmupSteps: number
  /** Optimizer steps of the whole run. */
  totalSteps: number
  options?: ScheduleOptions
}

/** transformers' defaults. */
const POLYNOMIAL_END = 1e-7
const INVERSE_SQRT_TIMESCALE = 10_000

/**
 * The rate of optimizer step `step`, counted from 0. Formulas of transformers' optimization.py; as there, the first step
 * of a warm-up has rate 0, but with cosine_warmup_with_min_lr.
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { name, learningRate, warmupSteps, totalSteps, options = {} } = schedule
  if (name === 'constant') return learningRate
  if (name === 'cosine_warmup_with_min_lr') return learningRate * warmCosine(step, schedule)
  if (step < warmupSteps) {
    const least = name === 'warmup_stable_decay' ? (options.minLrRatio ?? 0) : 0
    return learningRate * ((step / warmupSteps) * (1 - least) + least)
  }
  const after = Math.max(1, totalSteps - warmupSteps)
  const progress = (step - warmupSteps) / after
  switch (name) {
    case 'constant_with_warmup':
      return learningRate
    case 'linear':
      return learningRate * Math.max(0, (totalSteps - step) / after)
    case 'cosine':
      return learningRate * cosine(progress, options.numCycles ?? 0.5)
    case 'cosine_with_restarts':
      return progress >= 1 ? 0 : learningRate * cosine(((options.numCycles ?? 1) * progress) % 1, 0.5)
    case 'cosine_with_min_lr': {
      const least = options.minLrRate ?? (options.minLr ?? 0) / learningRate
      return learningRate * Math.max(0, cosine(progress, options.numCycles ?? 0.5) * (1 - least) + least)
    }
    case 'polynomial': {
      const end = options.lrEnd ?? POLYNOMIAL_END
      if (step > totalSteps) return end
      return (
        (learningRate - end) *
          (1 - (step - warmupSteps) / (totalSteps - warmupSteps)) ** (options.power ?? 1) +
        end
      )
    }
    case 'inverse_sqrt': {
      const timescale = options.timescale ?? (warmupSteps || INVERSE_SQRT_TIMESCALE)
      return learningRate / Math.sqrt((step + timescale - warmupSteps) / timescale)
    }
    case 'warmup_stable_decay':
      return learningRate * stableThenDecaying(step - warmupSteps, totalSteps - warmupSteps, options)
  }
}

/** Counts its steps from 1, unlike all the others. */
function warmCosine(step: number, { learningRate, warmupSteps, totalSteps, options = {} }: Schedule): number {
  const { warmupLrRate, numCycles = 0.5 } = options
  if (step < warmupSteps)
    return warmupLrRate === undefined
      ? (step + 1) / warmupSteps
      : warmupLrRate + ((1 - warmupLrRate) * step) / Math.max(1, warmupSteps - 1)
  const least = options.minLrRate ?? (options.minLr ?? 0) / learningRate
  const progress = (step - warmupSteps + 1) / Math.max(1, totalSteps - warmupSteps)
  return Math.max(0, 0.5 * (1 + Math.cos(2 * Math.PI * numCycles * progress)) * (1 - least) + least)
}

function cosine(progress: number, cycles: number): number {
  return Math.max(0, 0.5 * (1 + Math.cos(2 * Math.PI * cycles * progress)))
}

function stableThenDecaying(step: number, steps: number, options: ScheduleOptions): number {
  const { numDecaySteps = 0, minLrRatio = 0, numCycles = 0.5, decayType = 'cosine' } = options
  const stable = options.numStableSteps ?? steps - numDecaySteps
  if (step < stable) return 1
  if (step >= stable + numDecaySteps) return minLrRatio
  const progress = (step - stable) / Math.max(1, numDecaySteps)
  const left = (): number => {
    switch (decayType) {
      case 'linear':
        return 1 - progress
      case 'cosine':
        return cosine(progress, numCycles)
      case '1-sqrt':
        return 1 - Math.sqrt(progress)
    }
  }
  return Math.max(0, left() * (1 - minLrRatio) + minLrRatio)
}
