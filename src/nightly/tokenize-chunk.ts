import { openBaseModel } from '../base/open-base-model.ts'
import { tokenizeRows, type TokenizeSummary } from '../data/tokenize-rows.ts'
import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { openInput } from '../stages/open-input.ts'
import { locateModel, type ResolvedModel } from '../stages/resolve-model.ts'
import { type MadeArtifact, runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import type { ArtifactRef } from '../store/artifact.ts'

/** Raised whenever the same rows would become other tokens. */
const VERSION = 1

export type TokenizingSettings = Pick<
  FineTuneSpec['data'],
  'template' | 'maxLength' | 'truncation' | 'completionOnlyLoss'
>

export function tokenizingSettings(data: FineTuneSpec['data']): TokenizingSettings {
  const { template, maxLength, truncation, completionOnlyLoss } = data
  return { template, maxLength, truncation, completionOnlyLoss }
}

/** The rows of one chunk as tokens, once for a model and a template. */
export function tokenizeChunk(
  context: StageContext,
  base: ResolvedModel,
  chunk: ArtifactRef,
  settings: TokenizingSettings,
): Promise<MadeArtifact<TokenizeSummary>> {
  const inputs = { chunk: chunk.digest, model: base.digest }
  return runStage(
    context,
    { stage: 'tokenize-chunk', version: VERSION, inputs, settings },
    async (outDir) => {
      const rows = await openInput(context, chunk)
      const model = openBaseModel(await locateModel(context, base))
      try {
        if (model.tokenizer === undefined) {
          throw new InputError(
            `${base.source}: has no tokenizer.json; put the model's tokenizer files into its folder.`,
          )
        }
        return await tokenizeRows({
          cleanDir: rows.dir,
          tokenizer: model.tokenizer,
          settings,
          modelMaxPositions: base.maxPositions,
          outDir,
          signal: context.signal,
          progress: ({ rows: done }) => context.progress({ phase: 'row', done }),
          isPart: true,
        })
      } finally {
        model.close()
      }
    },
  )
}
