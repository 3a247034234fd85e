import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { evaluateStage } from '../eval/evaluate-stage.ts'
import { childOptions } from './child-options.ts'
import type { ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'

/** Mean loss of a model on the held-out rows: an export is loaded again from its files to be measured. */
export async function evaluationLoss(
  context: StageContext,
  what: {
    base: ResolvedModel
    /** A model folder or a .gguf file. */
    path: string
    tokenizedDir: string
    batchSize: number
  },
): Promise<number> {
  const outDir = join(context.scratchDir, 'evaluation')
  await mkdir(outDir, { recursive: true })
  const { layout, threads } = what.base.training
  const { summary } = await evaluateStage(
    {
      models: { export: { path: what.path } },
      tokenizedDir: what.tokenizedDir,
      settings: { batchSize: what.batchSize, samples: 0, maxNewTokens: 1 },
      stopTokenIds: [],
      layout,
      threads,
      scratchDir: context.scratchDir,
      outDir,
    },
    childOptions(context),
  )
  return summary.models.export.loss
}
