import type { ModelConfig } from './config.ts'

/** cos and sin of (first + row) · theta^(-2i/d), both [positions, headDim / 2] (arXiv:2104.09864), angles in float64. */
export function ropeTables(
  { headDim, ropeTheta }: ModelConfig,
  positions: number,
  first = 0,
): { cos: Float32Array; sin: Float32Array; shape: [number, number] } {
  const half = headDim / 2
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** (-i / half)
    for (let position = 0; position < positions; position++) {
      cos[position * half + i] = Math.cos((first + position) * frequency)
      sin[position * half + i] = Math.sin((first + position) * frequency)
    }
  }
  return { cos, sin, shape: [positions, half] }
}
