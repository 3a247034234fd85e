import type { Recovered } from '../failures/failure-details.ts'
import type { MemoryRung } from '../failures/memory-ladder.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import type { Quarantined } from '../store/checkpoints.ts'
import { trainStage } from '../train/train-stage.ts'
import type { TrainSettings } from '../train/train-settings.ts'
import type { TrainSummary } from '../train/train-task.ts'
import { childOptions } from './child-options.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage, type StageRecipe } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

/** Raised whenever the same rows and settings would give another adapter. */
const VERSION = 1

export interface TrainInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
  /** An adapter to go on from; without one training begins at the base model. */
  continueFrom?: ArtifactRef
  /** A smaller attempt, for want of memory. */
  relief?: MemoryRung
  /** What the attempt before it met. */
  after?: Recovered
  /** Nodes on which this job's training has met bad hardware: a worker there declines. */
  avoidNodes?: string[]
  /** Workers whose pods are gone: one that still polls declines. */
  avoidWorkers?: string[]
}

export type TrainOutcome = MadeArtifact<TrainSummary & { quarantined?: Quarantined[] }>

/** The adapter, trained in a child process from the job's newest checkpoint. The artifact is the adapter as PEFT loads it. */
export async function train(context: StageContext, input: TrainInput): Promise<TrainOutcome> {
  const { jobId, base, tokenized, continueFrom } = input
  const recipe = trainingRecipe(base, tokenized, continueFrom)
  return runStage(context, recipe, async (outDir, digest, commit) => {
    const { dir: tokenizedDir } = await openInput(context, tokenized)
    if (input.relief)
      context.log({ level: 'warn', message: 'smaller for want of memory', fields: { ...input.relief } })
    const { summary, lease } = await trainStage(
      {
        modelPath: await locateModel(context, base),
        origin: { baseModel: base.source.replace(/^hf:\/\//, ''), revision: base.revision },
        tokenizedDir,
        settings: relieved(base.training, input.relief),
        continueFrom: continueFrom && (await openInput(context, continueFrom)).dir,
        store: context.store,
        jobId,
        digest,
        attempt: context.attemptName,
        claim: { run: context.run, attempt: input.attempt },
        scratchDir: context.scratchDir,
        outDir,
      },
      childOptions(context),
    )
    commit.lease = lease
    return summary
  })
}

/** What the adapter is known by. */
export function trainingRecipe(
  base: ResolvedModel,
  tokenized: ArtifactRef,
  continueFrom: ArtifactRef | undefined,
): StageRecipe {
  const inputs = {
    model: base.digest,
    tokenized: tokenized.digest,
    ...(continueFrom && { adapter: continueFrom.digest }),
  }
  return { stage: 'train', version: VERSION, inputs, settings: resultSettings(base.training) }
}

/** The settings that decide the result. How often the state is saved and what follows a failure may change within a job. */
function resultSettings(settings: TrainSettings): Partial<TrainSettings> {
  const { checkpoint: _, retries: __, largerQueues: ___, ...result } = settings
  return result
}

/** Fewer rows at once and as many more micro-batches: a step keeps its rows, so checkpoints of either fit the other. */
function relieved(settings: TrainSettings, relief: MemoryRung | undefined): TrainSettings {
  if (relief === undefined) return settings
  const { microBatchRows, layout, gradientCheckpointing = settings.gradientCheckpointing } = relief
  const { perDeviceTrainBatchSize: rows, gradientAccumulationSteps: accumulation } = settings
  return {
    ...settings,
    layout,
    gradientCheckpointing,
    perDeviceTrainBatchSize: microBatchRows,
    gradientAccumulationSteps: accumulation * (rows / microBatchRows),
  }
}
