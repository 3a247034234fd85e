import { findArtifact, quarantineArtifact, type ArtifactRef } from '../store/artifact.ts'
import { stageDigest } from '../store/artifact.ts'
import { trainingPrefix } from '../store/checkpoint-pointer.ts'
import { rewindTo } from '../store/checkpoints.ts'
import { acquireLease } from '../store/lease.ts'
import type { ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'
import { trainingRecipe } from './train.ts'

export interface SetAsideInput {
  jobId: string
  attempt: number
  /** Artifacts of an earlier run of the job that are to be made again. */
  artifacts: ArtifactRef[]
}

/** From here on these artifacts count as absent: the stages that make them do so again. Their files stay. */
export async function setAside(context: StageContext, { artifacts }: SetAsideInput): Promise<void> {
  for (const ref of artifacts) {
    const manifest = await findArtifact(context.store, ref)
    if (manifest === undefined) continue
    await quarantineArtifact(context.store, manifest, 'set aside by temper retry')
    context.log({ level: 'info', message: 'set aside, to be made again', fields: { ...ref } })
  }
}

export interface RewindInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
  /** The adapter that the training goes on from, where it does. */
  continueFrom?: ArtifactRef
  /** Of the checkpoint that training begins with. */
  step: number
}

/**
 * Makes training begin with an earlier checkpoint: later ones are given up, and so is the adapter that came of them. InputError
 * where there is no such checkpoint.
 */
export async function rewindTraining(context: StageContext, input: RewindInput): Promise<void> {
  const { jobId, base, tokenized, continueFrom, step } = input
  const digest = stageDigest(trainingRecipe(base, tokenized, continueFrom))
  const lease = await acquireLease(context.store, jobId, context.attemptName)
  await rewindTo(context.store, lease, trainingPrefix(jobId, digest), step)
  await setAside(context, { ...input, artifacts: [{ stage: 'train', digest }] })
  context.log({ level: 'info', message: 'training goes back', fields: { step } })
}
