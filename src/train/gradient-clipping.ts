/** torch.nn.utils.clip_grad_norm_ adds this to the norm before it divides. */
const NORM_EPSILON = 1e-6

/** Multiplies all gradients in place: by 1 / tokens, the sum of token losses' gradient becomes the mean's. */
export function scaleGradients(gradients: ReadonlyMap<string, Float32Array>, factor: number): void {
  for (const gradient of gradients.values())
    for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) * factor
}

/**
 * Multiplies all gradients in place by `scale` and then, where their joint norm is more than maxNorm, so that it is that; maxNorm 0 clips
 * nothing. Returns the norm between the two: not finite where a gradient is not, and then nothing is changed.
 */
export function clipGradients(
  gradients: ReadonlyMap<string, Float32Array>,
  maxNorm: number,
  scale = 1,
): number {
  let squares = 0
  for (const gradient of gradients.values()) squares += sumOfSquares(gradient)
  const norm = Math.abs(scale) * Math.sqrt(squares)
  if (!Number.isFinite(norm)) return norm
  const clip = maxNorm > 0 ? Math.min(1, maxNorm / (norm + NORM_EPSILON)) : 1
  if (scale * clip !== 1) scaleGradients(gradients, scale * clip)
  return norm
}

/** Four sums side by side: one alone would wait for itself at each addition. */
function sumOfSquares(values: Float32Array): number {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  const whole = values.length - (values.length % 4)
  for (let i = 0; i < whole; i += 4) {
    a += (values[i] as number) * (values[i] as number)
    b += (values[i + 1] as number) * (values[i + 1] as number)
    c += (values[i + 2] as number) * (values[i + 2] as number)
    d += (values[i + 3] as number) * (values[i + 3] as number)
  }
  for (let i = whole; i < values.length; i++) a += (values[i] as number) ** 2
  return a + b + (c + d)
}
