/** One measurement, ours or a rival's. */
export interface TrainLine {
  bench: 'train'
  /** The rival's name; ours has none. */
  peer?: string
  /** A precision, or a rival's number format. */
  mode: string
  /** Whether a rival computes activations again; of ours, how much. */
  checkpointing?: boolean | string
  batch: number
  sequence: number
  /** The median step. */
  tokensPerSecond: number
  peakResidentMb: number
}

interface Ratios {
  timesPeerF32?: number
  timesPeerBf16?: number
  memoryOfPeer?: number
}

/**
 * Each of our lines with its ratios to the rival measured in the same run: speed against the faster of the rival's runs in
 * each format, memory against the smaller of its float32 runs.
 */
export function withRatios(lines: readonly TrainLine[]): (TrainLine & Ratios)[] {
  const peers = (mode: string) => lines.filter((line) => line.peer !== undefined && line.mode === mode)
  const speeds = (mode: string) => peers(mode).map((line) => line.tokensPerSecond)
  const [f32, bf16] = [speeds('f32'), speeds('bf16')]
  const memory = peers('f32').map((line) => line.peakResidentMb)
  return lines.map((line) =>
    line.peer === undefined
      ? {
          ...line,
          ...(f32.length > 0 && { timesPeerF32: round(line.tokensPerSecond / Math.max(...f32)) }),
          ...(bf16.length > 0 && { timesPeerBf16: round(line.tokensPerSecond / Math.max(...bf16)) }),
          ...(memory.length > 0 && { memoryOfPeer: round(line.peakResidentMb / Math.min(...memory)) }),
        }
      : line,
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
