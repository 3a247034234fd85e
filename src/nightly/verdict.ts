import { GATE_METRICS, type FineTuneScheduleSpec, type GateMetric } from '../spec/fine-tune-schedule.ts'
import { type Interval, pairedBootstrap, type RowMetrics, sumOf } from './bootstrap.ts'

export interface Comparison {
  rows: number
  champion: number
  challenger: number
  /** Better is positive, whatever the metric. */
  improvement: number
  interval: Interval
}

export interface Verdict {
  wins: boolean
  metric: GateMetric
  margin: number
  confidence: number
  /** On the frozen evaluation set: decides. */
  frozen: Comparison
  /** On held-out rows that are new this night, where there are any. */
  fresh?: Comparison
  /** One sentence for the record. */
  text: string
}

/** One model on both sets, rows in the same order for both models. */
export interface Measured {
  frozen: RowMetrics[]
  fresh: RowMetrics[]
}

/** So that a night judged again is judged alike. */
const SEED = 6

/**
 * The challenger wins if the lower end of its improvement's interval on the frozen set reaches the margin, and if it is not
 * surely worse (the whole interval below zero and the margin) on the new rows.
 */
export function judgeRows(
  champion: Measured,
  challenger: Measured,
  gate: FineTuneScheduleSpec['gate'],
): Verdict {
  const { metric, margin, confidence } = gate
  const frozen = compare(champion.frozen, challenger.frozen, gate)
  const fresh = champion.fresh.length > 0 ? compare(champion.fresh, challenger.fresh, gate) : undefined
  const reaches = frozen.interval.low >= margin
  const isWorseOnFresh = fresh !== undefined && fresh.interval.high < Math.min(0, margin)
  const text = `${metric} ${number(frozen.champion)} → ${number(frozen.challenger)} on ${frozen.rows} frozen rows: better by ${range(frozen)}, ${
    reaches ? 'reaches' : 'does not surely reach'
  } the margin ${margin}${isWorseOnFresh && fresh ? `; on ${fresh.rows} new rows better by ${range(fresh)}: worse` : ''}.`
  return {
    wins: reaches && !isWorseOnFresh,
    metric,
    margin,
    confidence,
    frozen,
    ...(fresh && { fresh }),
    text,
  }
}

function compare(
  champion: readonly RowMetrics[],
  challenger: readonly RowMetrics[],
  { metric, confidence }: FineTuneScheduleSpec['gate'],
): Comparison {
  const sign = GATE_METRICS[metric] === 'lower' ? 1 : -1
  const better = (one: RowMetrics, other: RowMetrics) => sign * (value(one, metric) - value(other, metric))
  const [one, other] = [sumOf(champion), sumOf(challenger)]
  return {
    rows: champion.length,
    champion: value(one, metric),
    challenger: value(other, metric),
    improvement: better(one, other),
    interval: pairedBootstrap(champion, challenger, better, { confidence, seed: SEED }),
  }
}

function value({ lossSum, tokens, correct }: RowMetrics, metric: GateMetric): number {
  switch (metric) {
    case 'loss':
      return lossSum / tokens
    case 'perplexity':
      return Math.exp(lossSum / tokens)
    case 'tokenAccuracy':
      return correct / tokens
  }
}

const number = (value: number) => value.toPrecision(5)
const range = ({ improvement, interval }: Comparison) =>
  `${number(improvement)} [${number(interval.low)}, ${number(interval.high)}]`
