import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import type { ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'
import { tokenizeArtifact, tokenizingSettings } from './tokenize-artifact.ts'

/** Raised whenever the same rows would become other tokens. */
const VERSION = 1

export interface TokenizeInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  clean: ArtifactRef
  data: FineTuneSpec['data']
}

export type TokenizeOutcome = MadeArtifact<TokenizeSummary>

/** Clean rows as token ids and loss masks, by the model's tokenizer and the job's template. */
export async function tokenize(
  context: StageContext,
  { base, clean, data }: TokenizeInput,
): Promise<TokenizeOutcome> {
  const settings = tokenizingSettings(data)
  const inputs = { clean: clean.digest, model: base.digest }
  return runStage(context, { stage: 'tokenize', version: VERSION, inputs, settings }, (outDir) =>
    tokenizeArtifact(context, base, clean, settings, { outDir, isPart: false }),
  )
}
