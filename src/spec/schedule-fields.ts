import { z } from 'zod'

const factor = (most: number) => z.exactOptional(z.number().min(0).max(most))
const steps = z.exactOptional(z.int().min(0).max(1_000_000_000))

/** transformers' lr_scheduler_type and lr_scheduler_kwargs. */
export const scheduleFields = {
  lrSchedulerType: z
    .enum([
      'linear',
      'cosine',
      'cosine_with_restarts',
      'polynomial',
      'constant',
      'constant_with_warmup',
      'inverse_sqrt',
      'cosine_with_min_lr',
      'cosine_warmup_with_min_lr',
      'warmup_stable_decay',
      'reduce_lr_on_plateau',
      'greedy',
    ])
    .default('cosine')
    .describe(
      'How the learning rate falls after the warm-up (TRL lr_scheduler_type, in transformers formulas). reduce_lr_on_plateau and greedy follow the evaluations of evalStrategy and have no warm-up.',
    ),
  lrSchedulerKwargs: z
    .strictObject({
      numCycles: factor(10_000).describe(
        'cosine (0.5), cosine_with_restarts (1), cosine_with_min_lr, warmup_stable_decay: waves.',
      ),
      power: factor(100).describe('polynomial: its exponent (1).'),
      lrEnd: factor(1).describe('polynomial: the last rate (1e-7).'),
      timescale: z
        .exactOptional(z.int().min(1).max(1_000_000_000))
        .describe(
          'inverse_sqrt: steps after which the rate has fallen by the root of two (the warm-up, or 10000).',
        ),
      minLr: factor(1).describe(
        'cosine_with_min_lr and its sister, reduce_lr_on_plateau (0), greedy (0.001): the lowest rate ...',
      ),
      minLrRate: factor(1).describe('... or the lowest rate as a share of learningRate.'),
      warmupLrRate: factor(1).describe(
        'cosine_warmup_with_min_lr: the first rate of the warm-up as a share of learningRate.',
      ),
      factor: z
        .exactOptional(z.number().gt(0).lt(1))
        .describe('reduce_lr_on_plateau (0.1), greedy (0.95): what the rate is multiplied by.'),
      patience: steps.describe(
        'reduce_lr_on_plateau, greedy: evaluations without improvement that are waited out (10).',
      ),
      threshold: factor(1_000_000).describe(
        'reduce_lr_on_plateau (1e-4), greedy (1e-6): what counts as an improvement.',
      ),
      thresholdMode: z
        .exactOptional(z.enum(['rel', 'abs']))
        .describe('... relative to the best (rel: reduce_lr_on_plateau), or as it is (abs: greedy).'),
      cooldown: steps.describe(
        'reduce_lr_on_plateau, greedy: evaluations that count for nothing after the rate fell (0).',
      ),
      eps: factor(1).describe(
        'reduce_lr_on_plateau, greedy: the least change of the rate that is made (1e-8).',
      ),
      warmup: steps.describe('greedy: evaluations that count for nothing after the rate rose (0).'),
      maxLr: factor(1).describe('greedy: the highest rate (1).'),
      smooth: z
        .exactOptional(z.boolean())
        .describe('greedy: look at the mean of the last windowSize evaluations (false).'),
      windowSize: z
        .exactOptional(z.int().min(1).max(100_000))
        .describe('greedy: evaluations in that mean (50).'),
      resetStart: z
        .exactOptional(z.int().min(1).max(1_000_000_000))
        .describe('greedy: falls at the lowest rate after which it begins anew (500).'),
      numDecaySteps: steps.describe('warmup_stable_decay: steps in which the rate falls.'),
      numStableSteps: steps.describe(
        'warmup_stable_decay: steps at the highest rate (what the others leave).',
      ),
      minLrRatio: factor(1).describe('warmup_stable_decay: the last rate as a share of learningRate (0).'),
      decayType: z
        .exactOptional(z.enum(['linear', 'cosine', '1-sqrt']))
        .describe('warmup_stable_decay: how the rate falls (cosine).'),
    })
    .prefault({})
    .describe('What some schedules can be told besides (TRL lr_scheduler_kwargs).'),
}
