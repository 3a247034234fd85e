import type { ArtifactRef } from '../store/artifact.ts'
import { trainStage } from '../train/train-stage.ts'
import type { TrainSummary } from '../train/train-task.ts'
import { childOptions } from './child-options.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

/** Raised whenever the same rows and settings would give another adapter. */
const VERSION = 1

export interface TrainInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
}

export type TrainOutcome = MadeArtifact<TrainSummary>

/** The adapter, trained in a child process from the job's newest checkpoint. The artifact is the adapter as PEFT loads it. */
export async function train(context: StageContext, input: TrainInput): Promise<TrainOutcome> {
  const { jobId, base, tokenized } = input
  // How often the state is saved changes nothing in the result: a job may be continued with other checkpoints.
  const { checkpoint: _, ...settings } = base.training
  const inputs = { model: base.digest, tokenized: tokenized.digest }
  const recipe = { stage: 'train', version: VERSION, inputs, settings }
  return runStage(context, recipe, async (outDir, digest) => {
    const { dir: tokenizedDir } = await openInput(context, tokenized)
    const { summary } = await trainStage(
      {
        modelPath: await locateModel(context, base),
        origin: { baseModel: base.source.replace(/^hf:\/\//, ''), revision: base.revision },
        tokenizedDir,
        settings: base.training,
        store: context.store,
        jobId,
        digest,
        attempt: context.attemptName,
        scratchDir: context.scratchDir,
        outDir,
      },
      childOptions(context),
    )
    return summary
  })
}
