type Checkpointing = 'none' | 'selective' | 'full'

/** How an attempt at a training is made smaller. It changes neither what the training is nor its checkpoints. */
export interface MemoryRung {
  /** Rows of a micro-batch; accumulation grows as it shrinks, so that a step keeps its rows. */
  microBatchRows: number
  layout: 'by-layer' | 'whole'
  /** What the backward pass computes again instead of keeping it. Jobs of before it was a setting name none. */
  gradientCheckpointing?: Checkpointing
}

/** From most memory to least. */
const CHECKPOINTING: readonly Checkpointing[] = ['none', 'selective', 'full']

/**
 * The rungs of one machine, the first being what the spec says: half the rows of a micro-batch (or the next divisor below, so
 * that a step keeps its rows) down to one; then the layout by layer, where only one layer's intermediate values are held at a
 * time; then more and more of a layer is computed again. Rungs are only ever added at the end: a training under way counts on them.
 */
export function memoryLadder(start: MemoryRung): MemoryRung[] {
  const rungs = [start]
  for (let rows = start.microBatchRows; rows > 1;) {
    rows = divisorUpTo(rows, Math.floor(rows / 2))
    rungs.push({ ...start, microBatchRows: rows })
  }
  const last = { ...start, microBatchRows: 1, layout: 'by-layer' as const }
  if (start.layout === 'whole') rungs.push(last)
  const kept = CHECKPOINTING.indexOf(start.gradientCheckpointing ?? 'selective')
  for (const gradientCheckpointing of CHECKPOINTING.slice(kept + 1))
    rungs.push({ ...last, gradientCheckpointing })
  return rungs
}

function divisorUpTo(number: number, most: number): number {
  for (let divisor = most; divisor > 1; divisor--) if (number % divisor === 0) return divisor
  return 1
}
