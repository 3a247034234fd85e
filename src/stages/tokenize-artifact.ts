import { openBaseModel } from '../base/open-base-model.ts'
import { tokenizeRows, type TokenizeSummary } from '../data/tokenize-rows.ts'
import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'

/** What of a job's data settings decides the tokens: what a tokenizing stage's digest is made of. */
export type TokenizingSettings = Pick<
  FineTuneSpec['data'],
  'template' | 'maxLength' | 'truncation' | 'completionOnlyLoss'
>

export function tokenizingSettings(data: FineTuneSpec['data']): TokenizingSettings {
  const { template, maxLength, truncation, completionOnlyLoss } = data
  return { template, maxLength, truncation, completionOnlyLoss }
}

/** The rows of a clean artifact, whole or one chunk of it (`isPart`), as tokens of the base model; the files go to `outDir`. */
export async function tokenizeArtifact(
  context: StageContext,
  base: ResolvedModel,
  clean: ArtifactRef,
  settings: TokenizingSettings,
  { outDir, isPart }: { outDir: string; isPart: boolean },
): Promise<TokenizeSummary> {
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
        context.progress({ phase: 'row', done, ...(of !== undefined && !isPart && { total: of }) }),
      ...(isPart && { isPart }),
    })
  } finally {
    model.close()
  }
}
