import type { Llama3RopeScaling, ModelConfig } from './config.ts'

/**
 * By what each of the headDim / 2 frequencies theta^(-2i/d) is divided: 1 without scaling. The formula is transformers'
 * _compute_llama3_parameters; the numbers are what GGUF keeps as rope_freqs.weight.
 */
export function ropeDivisors(
  theta: number,
  headDim: number,
  scaling: Llama3RopeScaling | undefined,
): number[] {
  return Array.from({ length: headDim / 2 }, (_, i) => {
    if (!scaling) return 1
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling
    const turns = originalMaxPositions / (2 * Math.PI * theta ** ((2 * i) / headDim))
    if (turns < low) return factor
    if (turns > high) return 1
    const smooth = (turns - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}

/** cos and sin of (first + row) · theta^(-2i/d) / divisor, both [positions, headDim / 2] (arXiv:2104.09864), angles in float64. */
export function ropeTables(
  { headDim, ropeTheta, ropeScaling }: ModelConfig,
  positions: number,
  first = 0,
): { cos: Float32Array; sin: Float32Array; shape: [number, number] } {
  const half = headDim / 2
  const divisors = ropeDivisors(ropeTheta, headDim, ropeScaling)
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** (-i / half) / (divisors[i] as number)
    for (let position = 0; position < positions; position++) {
      cos[position * half + i] = Math.cos((first + position) * frequency)
      sin[position * half + i] = Math.sin((first + position) * frequency)
    }
  }
  return { cos, sin, shape: [positions, half] }
}
