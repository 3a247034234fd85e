import { StoppedError } from '../errors.ts'
import { batchOf, type NamedRows } from '../train/batches.ts'
import type { Engine } from '../train/engine.ts'

/** Sums over the targets of one row. */
export interface EvaluatedRow {
  id: string
  lossSum: number
  tokens: number
  correct: number
}

/** Every row by itself, in the rows' order: what a paired comparison of two models needs. */
export async function evaluateRows(
  engine: Engine,
  rows: NamedRows,
  { signal, report }: { signal: AbortSignal; report: () => void },
): Promise<EvaluatedRow[]> {
  const evaluated: EvaluatedRow[] = []
  for (let row = 0; row < rows.count; row++) {
    if (signal.aborted) throw new StoppedError('Evaluation was stopped')
    const { lossSum, tokens, correct } = await engine.evaluate(batchOf(rows, [row]))
    evaluated.push({ id: rows.id(row), lossSum, tokens, correct })
    report()
  }
  return evaluated
}

/** Of all rows together, as evaluateModel gives them. */
export function metricsOfRows(rows: readonly EvaluatedRow[]) {
  const sum = { lossSum: 0, tokens: 0, correct: 0 }
  for (const { lossSum, tokens, correct } of rows) {
    sum.lossSum += lossSum
    sum.tokens += tokens
    sum.correct += correct
  }
  const loss = sum.lossSum / sum.tokens
  return { loss, perplexity: Math.exp(loss), tokenAccuracy: sum.correct / sum.tokens, tokens: sum.tokens }
}
