import type { TunedModel } from '../export/tuned-model.ts'
import type { Layout } from '../train/engine.ts'
import { runChild, type RunChildOptions } from '../train/run-child.ts'
import type { EvaluationMetrics } from './evaluate-model.ts'
import { EVALUATION_FILE } from './evaluate-task.ts'

export interface EvaluateStage<Name extends string> {
  /** By the names that the results are to have: {base, tuned}, {merged}, {'gguf-q8_0'}, … Evaluated in this order. */
  models: Record<Name, TunedModel>
  /** A folder that tokenizeRows has filled. */
  tokenizedDir: string
  /** spec.eval; `samples` is 0 where only figures are wanted. */
  settings: { samples: number; maxNewTokens: number; batchSize: number }
  /** Tokens that end an answer beside the model's own: the template's end of turn. */
  stopTokenIds: number[]
  layout: Layout
  threads: number
  /** Empty folders. */
  scratchDir: string
  outDir: string
}

export interface EvaluateStageSummary<Name extends string> {
  rows: number
  seconds: number
  models: Record<Name, EvaluationMetrics>
}

/**
 * Models on the held-out rows, in a child process: loss, perplexity and token accuracy of each, and their answers to the sample
 * questions side by side. `outDir` receives evaluation.json. Errors as runChild's.
 */
export async function evaluateStage<Name extends string>(
  stage: EvaluateStage<Name>,
  options: RunChildOptions,
): Promise<{ files: string[]; summary: EvaluateStageSummary<Name> }> {
  const { models, tokenizedDir, settings, stopTokenIds, layout, threads, scratchDir, outDir } = stage
  const named = Object.entries<TunedModel>(models)
  const summary = await runChild(
    {
      kind: 'evaluate',
      models: named.map(([name, model]) => ({ name, ...model })),
      tokenizedDir,
      ...settings,
      stopTokenIds,
      layout,
      threads,
      outDir,
    },
    scratchDir,
    options,
  )
  return { files: [EVALUATION_FILE], summary }
}
