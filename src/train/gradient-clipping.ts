/** torch.nn.utils.clip_grad_norm_ adds this to the norm before it divides. */
const NORM_EPSILON = 1e-6

/** Multiplies all gradients in place: by 1 / tokens, the sum of token losses' gradient becomes the mean's. */
export function scaleGradients(gradients: ReadonlyMap<string, Float32Array>, factor: number): void {
  for (const gradient of gradients.values())
    for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) * factor
}

/**
 * Scales all gradients in place so that their joint norm is at most maxNorm; 0 leaves them as they are.
 * Returns the norm before clipping: not finite where a gradient is not, and then nothing is changed.
 */
export function clipGradients(gradients: ReadonlyMap<string, Float32Array>, maxNorm: number): number {
  let squares = 0
  for (const gradient of gradients.values()) {
    let sum = 0
    for (let i = 0; i < gradient.length; i++) sum += (gradient[i] as number) ** 2
    squares += sum
  }
  const norm = Math.sqrt(squares)
  const factor = maxNorm / (norm + NORM_EPSILON)
  if (maxNorm > 0 && Number.isFinite(norm) && factor < 1) scaleGradients(gradients, factor)
  return norm
}
