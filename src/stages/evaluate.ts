import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { EvaluationMetrics } from '../eval/evaluate-model.ts'
import { evaluateStage } from '../eval/evaluate-stage.ts'
import { tunedModel } from '../export/tuned-model.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { childOptions } from './child-options.ts'
import { requireFinite } from './evaluation-loss.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

/** Raised whenever the same models would be measured otherwise. */
const VERSION = 1

export interface EvaluateInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
  adapter: ArtifactRef
  settings: FineTuneSpec['eval']
}

export interface EvaluateSummary {
  rows: number
  /** Before and after training. */
  base: EvaluationMetrics
  tuned: EvaluationMetrics
}

export type EvaluateOutcome = MadeArtifact<EvaluateSummary>

/** Base and tuned model on the held-out rows, and their answers to some held-out questions. */
export async function evaluate(context: StageContext, input: EvaluateInput): Promise<EvaluateOutcome> {
  const { base, tokenized, adapter, settings } = input
  const { layout, threads } = base.training
  const inputs = { model: base.digest, tokenized: tokenized.digest, adapter: adapter.digest }
  // Rows at once decide the memory, not the result: an attempt with fewer finds what one with more has committed.
  const { batchSize: _, ...result } = settings
  const recipe = { stage: 'evaluate', version: VERSION, inputs, settings: { ...result, layout, threads } }
  return runStage(context, recipe, async (outDir) => {
    const rows = await openInput<TokenizeSummary>(context, tokenized)
    const { dir: trainedDir } = await openInput(context, adapter)
    const path = await locateModel(context, base)
    const { summary } = await evaluateStage(
      {
        models: { base: { path }, tuned: tunedModel(path, trainedDir) },
        tokenizedDir: rows.dir,
        settings,
        stopTokenIds: [rows.manifest.summary.endOfTurnId],
        layout,
        threads,
        scratchDir: context.scratchDir,
        outDir,
      },
      childOptions(context),
    )
    for (const [name, metrics] of Object.entries(summary.models)) requireFinite(name, metrics)
    return { rows: summary.rows, ...summary.models }
  })
}
