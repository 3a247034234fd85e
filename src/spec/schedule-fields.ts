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
      'warmup_stable_decay',
    ])
    .default('cosine')
    .describe(
      'How the learning rate falls after the warm-up (TRL lr_scheduler_type, in transformers formulas).',
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
      minLr: factor(1).describe('cosine_with_min_lr: the lowest rate ...'),
      minLrRate: factor(1).describe('... or the lowest rate as a share of learningRate.'),
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
