import { z } from 'zod'

const MAX_COUNT = 1_000_000_000

/** transformers' evaluation during training and its EarlyStoppingCallback. */
export const evaluationFields = {
  evalStrategy: z
    .enum(['no', 'steps', 'epoch'])
    .default('no')
    .describe(
      'Evaluation on the held-out rows during training (TRL eval_strategy): every evalSteps steps or every epoch, and after the last step.',
    ),
  evalSteps: z
    .exactOptional(
      z
        .number()
        .gt(0)
        .max(MAX_COUNT)
        .refine(
          (steps) => steps < 1 || Number.isInteger(steps),
          'must be a whole number of steps, or a share of all steps between 0 and 1',
        ),
    )
    .meta({
      description:
        'Steps between two evaluations, or below 1 their share of all steps (TRL eval_steps). Default: loggingSteps.',
      examples: [50, 0.1],
    }),
  perDeviceEvalBatchSize: z
    .int()
    .min(1)
    .max(65_536)
    .default(4)
    .describe('Rows evaluated at once during training (TRL per_device_eval_batch_size).'),
  metricForBestModel: z
    .enum(['loss', 'eval_loss', 'mean_token_accuracy', 'eval_mean_token_accuracy'])
    .default('loss')
    .describe(
      'What makes an evaluation the best (TRL metric_for_best_model): the lowest loss or the highest accuracy.',
    ),
  loadBestModelAtEnd: z
    .boolean()
    .default(false)
    .describe(
      'true: the result is the adapter of the best evaluation, not the last (TRL load_best_model_at_end).',
    ),
  earlyStoppingPatience: z.exactOptional(z.int().min(1).max(MAX_COUNT)).meta({
    description:
      'Training ends after so many evaluations in a row that were no improvement (transformers early_stopping_patience).',
    examples: [3],
  }),
  earlyStoppingThreshold: z
    .number()
    .min(0)
    .max(MAX_COUNT)
    .default(0)
    .describe('By how much the metric must improve to count for earlyStoppingPatience.'),
}
