import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { ResolvedModel } from '../stages/resolve-model.ts'
import { type MadeArtifact, runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { tokenizeArtifact, type TokenizingSettings } from '../stages/tokenize-artifact.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import type { NightWork } from './night-work.ts'

/** Raised whenever the same rows would become other tokens. */
const VERSION = 1

/** The rows of one chunk as tokens, once for a model and a template. */
export function tokenizeChunk(
  context: StageContext,
  base: ResolvedModel,
  chunk: ArtifactRef,
  settings: TokenizingSettings,
  work: NightWork,
): Promise<MadeArtifact<TokenizeSummary>> {
  const inputs = { chunk: chunk.digest, model: base.digest }
  const recipe = { stage: 'tokenize-chunk', version: VERSION, inputs, settings }
  return runStage(context, recipe, async (outDir, digest) => {
    await work.begin(digest)
    return tokenizeArtifact(context, base, chunk, settings, { outDir, isPart: true })
  })
}
