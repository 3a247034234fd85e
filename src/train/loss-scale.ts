/** Of torch.amp.GradScaler: what float16 gradients are multiplied with, and how many steps in a row were finite with it. */
export interface LossScale {
  scale: number
  /** GradScaler's growth tracker. */
  finiteSteps: number
  /** Steps in all that were left out for it: the optimizer has not counted them. */
  skippedSteps: number
}

/** GradScaler's defaults. */
const FIRST = 65_536
const GROWTH_FACTOR = 2
const BACKOFF_FACTOR = 0.5
const GROWTH_INTERVAL = 2000
/** With less than this it is not the scale that makes numbers too large. torch would go on halving for ever. */
export const LEAST_LOSS_SCALE = 1

export function startingLossScale(): LossScale {
  return { scale: FIRST, finiteSteps: 0, skippedSteps: 0 }
}

/** The scale after a step, as GradScaler.update(): halved where a gradient was not finite, doubled after so many steps that were. */
export function nextLossScale(
  { scale, finiteSteps, skippedSteps }: LossScale,
  isFinite: boolean,
  growthInterval = GROWTH_INTERVAL,
): LossScale {
  if (!isFinite) return { scale: scale * BACKOFF_FACTOR, finiteSteps: 0, skippedSteps: skippedSteps + 1 }
  if (finiteSteps + 1 < growthInterval) return { scale, finiteSteps: finiteSteps + 1, skippedSteps }
  // As in torch, what is no number any more does not grow.
  const grown = scale * GROWTH_FACTOR
  return { scale: Number.isFinite(Math.fround(grown)) ? grown : scale, finiteSteps: 0, skippedSteps }
}
