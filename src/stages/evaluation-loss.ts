import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { NonFiniteError } from '../errors.ts'
import { evaluateStage } from '../eval/evaluate-stage.ts'
import { childOptions } from './child-options.ts'
import type { ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'

/** NonFiniteError unless the loss is a number: it comes from another process as JSON, where NaN is null. */
export function requireFinite(which: string, { loss }: { loss: number }): void {
  if (!Number.isFinite(loss)) {
    throw new NonFiniteError(
      `The evaluation loss of the ${which} model is not finite; lower spec.train.learningRate or look at the base model. Nothing is published.`,
    )
  }
}

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
  requireFinite('exported', summary.models.export)
  return summary.models.export.loss
}
