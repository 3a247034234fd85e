import { z } from 'zod'

const line = z.object({
  bench: z.literal('shapes'),
  model: z.string(),
  mode: z.string(),
  checkpointing: z.enum(['none', 'selective', 'full']).optional(),
  parameters: z.number(),
  batch: z.number(),
  sequence: z.number(),
  tokensPerSecond: z.number(),
  /** From the start of the process to the end of its first step. */
  firstStepSeconds: z.number(),
  peakResidentMb: z.number(),
  estimatedMb: z.number(),
})

/** One point: a model, a mode, a batch. */
export type ShapeLine = z.infer<typeof line>

export function shapeLine(value: unknown): ShapeLine {
  return line.parse(value)
}
