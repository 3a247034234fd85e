import { openBaseModel } from '../base/open-base-model.ts'
import { tokenizeRows, type TokenizeSummary } from '../data/tokenize-rows.ts'
import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

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
  const { template, maxLength, truncation, completionOnlyLoss } = data
  const settings = { template, maxLength, truncation, completionOnlyLoss }
  const inputs = { clean: clean.digest, model: base.digest }
  return runStage(context, { stage: 'tokenize', version: VERSION, inputs, settings }, async (outDir) => {
    const rows = await openInput(context, clean)
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
        progress: ({ rows: done, of }) =>
          context.progress({ phase: 'row', done, ...(of !== undefined && { total: of }) }),
      })
    } finally {
      model.close()
    }
  })
}
