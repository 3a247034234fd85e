import { readdir } from 'node:fs/promises'
import type { AdapterOrigin } from '../export/write-adapter.ts'
import { trainingPrefix } from '../store/checkpoint-pointer.ts'
import { quarantinedCheckpoints, type Quarantined } from '../store/checkpoints.ts'
import { acquireLease, type Lease, type LeaseClaim } from '../store/lease.ts'
import type { Store } from '../store/store.ts'
import { runChild, type RunChildOptions } from './run-child.ts'
import type { TrainSettings } from './train-settings.ts'
import type { TrainSummary } from './train-task.ts'

export interface TrainStage {
  /** A model folder or a .gguf file. */
  modelPath: string
  origin: AdapterOrigin
  /** A folder that tokenizeRows has filled. */
  tokenizedDir: string
  settings: TrainSettings
  /** Folder of the adapter that training goes on from. */
  continueFrom?: string | undefined
  store: Store
  jobId: string
  /** Of the training: checkpoints of equal inputs and settings are this job's own. */
  digest: string
  /** Unique among all attempts: whoever comes later fences those before. */
  attempt: string
  /** Which run of the job this is, and which attempt of it: a lease only ever moves to a later one. Without it, to whoever asks. */
  claim?: LeaseClaim
  /** Empty folders. */
  scratchDir: string
  outDir: string
}

/**
 * One attempt at a training: takes the job's next lease epoch, then runs the child to its end, from the newest checkpoint where
 * there is one. `outDir` receives `files`: the adapter as PEFT reads it, and metrics.jsonl. Errors as runChild's.
 */
export async function trainStage(
  stage: TrainStage,
  options: RunChildOptions,
): Promise<{ files: string[]; summary: TrainSummary & { quarantined?: Quarantined[] }; lease: Lease }> {
  const {
    modelPath,
    origin,
    tokenizedDir,
    settings,
    continueFrom,
    store,
    jobId,
    digest,
    scratchDir,
    outDir,
  } = stage
  const lease = await acquireLease(store, jobId, stage.attempt, stage.claim)
  const { epoch, attempt } = lease
  const summary = await runChild(
    {
      kind: 'train',
      modelPath,
      origin,
      tokenizedDir,
      settings,
      ...(continueFrom !== undefined && { continueFrom }),
      checkpoints: { storeUri: store.uri, jobId, digest, lease: { epoch, attempt } },
      scratchDir,
      outDir,
    },
    scratchDir,
    options,
  )
  const quarantined = await quarantinedCheckpoints(store, trainingPrefix(jobId, digest))
  const found = quarantined.length > 0 && { quarantined }
  return { files: await readdir(outDir), summary: { ...summary, ...found }, lease }
}
