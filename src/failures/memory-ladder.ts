/** How an attempt at a training is made smaller. It changes neither what the training is nor its checkpoints. */
export interface MemoryRung {
  /** Rows of a micro-batch; accumulation grows as it shrinks, so that a step keeps its rows. */
  microBatchRows: number
  layout: 'by-layer' | 'whole'
}

/**
 * The rungs of one machine, the first being what the spec says: half the rows of a micro-batch (or the next divisor below, so
 * that a step keeps its rows) down to one, then the layout that needs least memory: by layer, where only one layer's
 * intermediate values are held at a time.
 */
export function memoryLadder(start: MemoryRung): MemoryRung[] {
  const rungs = [start]
  for (let rows = start.microBatchRows; rows > 1;) {
    rows = divisorUpTo(rows, Math.floor(rows / 2))
    rungs.push({ ...start, microBatchRows: rows })
  }
  if (start.layout === 'whole') rungs.push({ microBatchRows: 1, layout: 'by-layer' })
  return rungs
}

function divisorUpTo(number: number, most: number): number {
  for (let divisor = most; divisor > 1; divisor--) if (number % divisor === 0) return divisor
  return 1
}
