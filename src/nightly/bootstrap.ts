import { RandomStream } from '../train/random.ts'

/** Of one evaluated row: sums over its targets. */
export interface RowMetrics {
  lossSum: number
  tokens: number
  correct: number
}

export interface Interval {
  low: number
  high: number
}

/** Enough for two digits of a 95 % interval's ends; a row costs a few additions each. */
const RESAMPLES = 1000

/**
 * Percentile interval of a paired difference by the bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13):
 * rows are drawn with replacement, the same for both models, and `difference` is taken of their sums. Counter-based random
 * numbers: the same rows and seed give the same interval on any machine.
 */
export function pairedBootstrap(
  one: readonly RowMetrics[],
  other: readonly RowMetrics[],
  difference: (one: RowMetrics, other: RowMetrics) => number,
  { confidence, seed }: { confidence: number; seed: number },
): Interval {
  const values = Array.from({ length: RESAMPLES }, (_, resample) => {
    const random = new RandomStream(seed, 'bootstrap', resample)
    const a = { lossSum: 0, tokens: 0, correct: 0 }
    const b = { lossSum: 0, tokens: 0, correct: 0 }
    for (let draw = 0; draw < one.length; draw++) {
      const row = random.below(one.length)
      add(a, one[row])
      add(b, other[row])
    }
    return difference(a, b)
  }).sort((x, y) => x - y)
  const tail = (1 - confidence) / 2
  return { low: quantile(values, tail), high: quantile(values, 1 - tail) }
}

export function sumOf(rows: readonly RowMetrics[]): RowMetrics {
  const sum = { lossSum: 0, tokens: 0, correct: 0 }
  for (const row of rows) add(sum, row)
  return sum
}

function add(sum: RowMetrics, row: RowMetrics | undefined): void {
  if (row === undefined) throw new Error('the rows are not pairs')
  sum.lossSum += row.lossSum
  sum.tokens += row.tokens
  sum.correct += row.correct
}

/** Linear interpolation between order statistics (type 7 of Hyndman and Fan, the usual one). */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const below = Math.floor(at)
  const low = sorted[below] ?? Number.NaN
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN
  return low + (high - low) * (at - below)
}
