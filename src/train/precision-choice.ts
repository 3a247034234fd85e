import { z } from 'zod'
import { PRECISIONS } from '../model/precision.ts'

const precisionComparison = z.object({
  tokens: z.int(),
  /** Of all layers' gradients with those of `exact`. */
  lowestLayerCosine: z.number(),
  /** ‖fast - exact‖ / ‖exact‖ over all gradients. */
  relativeError: z.number(),
  /** Mean over the supervised tokens. */
  loss: z.number(),
  exactLoss: z.number(),
})
/** `fast` beside `exact` on rows of a job. */
export type PrecisionComparison = z.infer<typeof precisionComparison>

/** What `precision: auto` became, and why; kept in the training's state. All numbers are finite: JSON has no others. */
export const precisionChoice = z.object({
  chosen: z.enum(PRECISIONS),
  /** One sentence for a person. */
  why: z.string(),
  /** Where both were compared. */
  compared: precisionComparison.optional(),
})
export type PrecisionChoice = z.infer<typeof precisionChoice>
