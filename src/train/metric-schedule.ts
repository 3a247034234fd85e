import { z } from 'zod'

/** transformers' schedules whose rate follows from evaluations, not from the step; neither has a warm-up. */
export const METRIC_SCHEDULES = ['reduce_lr_on_plateau', 'greedy'] as const
export type MetricScheduleName = (typeof METRIC_SCHEDULES)[number]

export function isMetricSchedule(name: string): name is MetricScheduleName {
  return METRIC_SCHEDULES.some((known) => known === name)
}

/** Arguments of torch's ReduceLROnPlateau and transformers' GreedyLR; what is left out has their defaults. */
export interface MetricScheduleOptions {
  factor?: number
  /** Evaluations. */
  patience?: number
  threshold?: number
  thresholdMode?: 'rel' | 'abs'
  /** Evaluations that count for nothing after the rate has fallen. */
  cooldown?: number
  minLr?: number
  /** The least change of the rate that is made. */
  eps?: number
  /** greedy: evaluations that count for nothing after the rate has risen. */
  warmup?: number
  maxLr?: number
  /** greedy: the mean of the last `windowSize` evaluations is looked at. */
  smooth?: boolean
  windowSize?: number
  /** greedy: falls at the lowest rate after which all begins anew. */
  resetStart?: number
}

/** All that such a schedule remembers between two evaluations. */
export const metricScheduleState = z.object({
  learningRate: z.number(),
  /** Undefined before the first evaluation. */
  best: z.number().optional(),
  bad: z.int(),
  cooldown: z.int(),
  /** greedy only. */
  good: z.int(),
  warmup: z.int(),
  resetStart: z.int().optional(),
  recent: z.array(z.number()),
})
export type MetricScheduleState = z.infer<typeof metricScheduleState>

export interface MetricSchedule {
  name: MetricScheduleName
  /** The first rate. */
  learningRate: number
  /** Of the metric. */
  mode: 'min' | 'max'
  options: MetricScheduleOptions
}

export function startOfMetricSchedule({
  learningRate,
}: Pick<MetricSchedule, 'learningRate'>): MetricScheduleState {
  return { learningRate, bad: 0, good: 0, cooldown: 0, warmup: 0, recent: [] }
}

/** The state after an evaluation. */
export function afterEvaluation(
  state: MetricScheduleState,
  metric: number,
  schedule: MetricSchedule,
): MetricScheduleState {
  switch (schedule.name) {
    case 'reduce_lr_on_plateau':
      return plateau(state, metric, schedule)
    case 'greedy':
      return greedy(state, metric, schedule)
  }
}

/** torch.optim.lr_scheduler.ReduceLROnPlateau.step. */
function plateau(
  state: MetricScheduleState,
  metric: number,
  { mode, options }: MetricSchedule,
): MetricScheduleState {
  const {
    factor = 0.1,
    patience = 10,
    threshold = 1e-4,
    thresholdMode = 'rel',
    minLr = 0,
    eps = 1e-8,
  } = options
  const next = { ...state }
  if (isBetter(metric, state.best, mode, thresholdMode, threshold)) {
    next.best = metric
    next.bad = 0
  } else {
    next.bad++
  }
  if (next.cooldown > 0) {
    next.cooldown--
    next.bad = 0
  }
  if (next.bad > patience) {
    const lower = Math.max(state.learningRate * factor, minLr)
    if (state.learningRate - lower > eps) next.learningRate = lower
    next.cooldown = options.cooldown ?? 0
    next.bad = 0
  }
  return next
}

/** transformers' GreedyLR.step (arXiv:2512.14527). */
function greedy(state: MetricScheduleState, value: number, schedule: MetricSchedule): MetricScheduleState {
  const { mode, options } = schedule
  const { factor = 0.95, patience = 10, threshold = 1e-6, thresholdMode = 'abs', windowSize = 50 } = options
  const { minLr = 1e-3, maxLr = 1, eps = 1e-8, resetStart = 500 } = options
  const recent = options.smooth ? [...state.recent, value].slice(-windowSize) : []
  const metric = options.smooth ? recent.reduce((sum, each) => sum + each, 0) / recent.length : value
  const next = { ...state, recent }
  if (next.cooldown > 0 || next.warmup > 0) {
    if (next.cooldown > 0) next.cooldown--
    else next.warmup--
    return { ...next, bad: 0, good: 0 }
  }
  if (isBetter(metric, state.best, mode, thresholdMode, threshold)) {
    next.best = metric
    next.bad = 0
    next.good++
  } else {
    next.bad++
    next.good = 0
  }
  if (next.good > patience) {
    const higher = Math.min(state.learningRate / factor, maxLr)
    if (higher - state.learningRate > eps) next.learningRate = higher
    return { ...next, resetStart, warmup: options.warmup ?? 0, good: 0 }
  }
  if (next.bad > patience) {
    const lower = Math.max(state.learningRate * factor, minLr)
    if (state.learningRate - lower > eps) next.learningRate = lower
    const left = (state.resetStart ?? resetStart) - (next.learningRate > minLr ? 0 : 1)
    // As there, what follows a fall follows the start over as well.
    if (left <= 0) return { ...startOfMetricSchedule(schedule), cooldown: options.cooldown ?? 0 }
    return { ...next, resetStart: left, cooldown: options.cooldown ?? 0, bad: 0 }
  }
  return next
}

function isBetter(
  metric: number,
  best: number | undefined,
  mode: 'min' | 'max',
  thresholdMode: 'rel' | 'abs',
  threshold: number,
): boolean {
  if (best === undefined) return true
  const sign = mode === 'min' ? -1 : 1
  const wanted = thresholdMode === 'rel' ? best * (1 + sign * threshold) : best + sign * threshold
  return mode === 'min' ? metric < wanted : metric > wanted
}
