import { InputError, StoppedError } from '../errors.ts'
import { batchOf, type NamedRows } from '../train/batches.ts'
import type { Engine } from '../train/engine.ts'

export interface EvaluationMetrics {
  /** Mean cross-entropy of the targets, in nats: every token weighs alike, however the rows are batched. */
  loss: number
  /** exp(loss). */
  perplexity: number
  /** Share of the targets that are the model's first choice. */
  tokenAccuracy: number
  /** Targets counted. */
  tokens: number
}

export interface EvaluateOptions {
  batchSize: number
  /** Aborted: StoppedError, between two batches. */
  signal: AbortSignal
  /** After each batch. */
  report: () => void
}

/** Batches that evaluateModel makes of so many rows. */
export function evaluationBatches(rows: number, batchSize: number): number {
  return Math.ceil(rows / batchSize)
}

/**
 * Loss, perplexity and token accuracy over all rows, with the engine's adapter where it has one. Logits are not kept.
 * Rows of like length share a batch: less padding, and the largest batch comes first, so that want of memory shows at once.
 */
export async function evaluateModel(
  engine: Engine,
  rows: NamedRows,
  { batchSize, signal, report }: EvaluateOptions,
): Promise<EvaluationMetrics> {
  const order = Array.from({ length: rows.count }, (_, row) => row)
  order.sort((a, b) => rows.ids(b).length - rows.ids(a).length || a - b)
  let lossSum = 0
  let tokens = 0
  let correct = 0
  for (let at = 0; at < order.length; at += batchSize) {
    if (signal.aborted) throw new StoppedError('Evaluation was stopped')
    const result = await engine.evaluate(batchOf(rows, order.slice(at, at + batchSize)))
    lossSum += result.lossSum
    tokens += result.tokens
    correct += result.correct
    report()
  }
  if (tokens === 0)
    throw new InputError(
      'No held-out token is left to evaluate on; give files in spec.data.eval or raise spec.data.evalFraction',
    )
  const loss = lossSum / tokens
  return { loss, perplexity: Math.exp(loss), tokenAccuracy: correct / tokens, tokens }
}
