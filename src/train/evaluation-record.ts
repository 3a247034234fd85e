import { z } from 'zod'

const evaluationLine = z.object({
  /** Optimizer steps done. */
  step: z.int(),
  epoch: z.number(),
  /** Of the held-out rows, without dropout, noise or smoothing. */
  evalLoss: z.number(),
  evalMeanTokenAccuracy: z.number(),
  /** Of training, over all attempts that count. */
  seconds: z.number(),
})
export type EvaluationLine = z.infer<typeof evaluationLine>

/** What training remembers of its evaluations: part of every checkpoint. */
export const evaluationRecord = z.object({
  lines: z.array(evaluationLine),
  /** The best by metricForBestModel, the earlier of equals. */
  bestStep: z.int().optional(),
  bestMetric: z.number().optional(),
  bestLoss: z.number().optional(),
  /** In a row, by more than earlyStoppingThreshold. */
  withoutImprovement: z.int(),
  /** Training ends here, before its last step. */
  stopped: z.boolean(),
})
export type EvaluationRecord = z.infer<typeof evaluationRecord>

export const NO_EVALUATIONS: EvaluationRecord = { lines: [], withoutImprovement: 0, stopped: false }

/** What is looked at: the smaller loss or the larger accuracy is better. */
export type BestModelMetric = 'loss' | 'eval_loss' | 'mean_token_accuracy' | 'eval_mean_token_accuracy'

export function metricMode(metric: BestModelMetric): 'min' | 'max' {
  return metric.endsWith('loss') ? 'min' : 'max'
}

export function metricOf(metric: BestModelMetric, line: EvaluationLine): number {
  return metric.endsWith('loss') ? line.evalLoss : line.evalMeanTokenAccuracy
}

export interface EvaluationJudgement {
  metricForBestModel: BestModelMetric
  earlyStoppingPatience?: number | undefined
  earlyStoppingThreshold: number
}

/**
 * Takes in an evaluation as transformers' Trainer does: what is better than the best by any amount is the best; only what is better by
 * more than the threshold starts the patience anew. True where it is the best.
 */
export function judgeEvaluation(
  record: EvaluationRecord,
  line: EvaluationLine,
  { metricForBestModel, earlyStoppingPatience, earlyStoppingThreshold }: EvaluationJudgement,
): boolean {
  const metric = metricOf(metricForBestModel, line)
  const { bestMetric } = record
  const sign = metricMode(metricForBestModel) === 'min' ? -1 : 1
  const gain = bestMetric === undefined ? Infinity : sign * (metric - bestMetric)
  record.lines.push(line)
  record.withoutImprovement = gain > 0 && gain > earlyStoppingThreshold ? 0 : record.withoutImprovement + 1
  record.stopped = earlyStoppingPatience !== undefined && record.withoutImprovement >= earlyStoppingPatience
  if (gain <= 0) return false
  record.bestStep = line.step
  record.bestMetric = metric
  record.bestLoss = line.evalLoss
  return true
}
