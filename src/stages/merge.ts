import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openBaseModel } from '../base/open-base-model.ts'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { BaseModel } from '../base/base-model.ts'
import { readAdapter } from '../export/read-adapter.ts'
import { tunedModel } from '../export/tuned-model.ts'
import { type MergeOptions, writeMergedModel } from '../export/write-merged-model.ts'
import { type ModelType, ownType, writeModel } from '../export/write-model.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { dialogueOf } from './dialogue-of.ts'
import { evaluationLoss } from './evaluation-loss.ts'
import { openInput } from './open-input.ts'
import { locateModel, type ResolvedModel } from './resolve-model.ts'
import { type MadeArtifact, runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'

/** Raised whenever the same adapter and base would be merged into other bytes. */
const VERSION = 1

/**
 * How far the merged model's evaluation loss may be from the tuned one's, relative to it. Merging itself is exact to the last bits
 * of float32; a narrower type rounds the weights to 11 or 8 bits. Beyond this the export is wrong, not inexact.
 */
const TOLERANCE: Record<ModelType, number> = { F32: 1e-3, F16: 5e-3, BF16: 2e-2 }

export interface MergeInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
  adapter: ArtifactRef
  settings: FineTuneSpec['merge']
  /** Of the evaluation that checks the result. */
  batchSize: number
  /** Evaluation loss of base and adapter together. */
  tunedLoss: number
}

export interface MergeSummary {
  dtype: ModelType
  bytes: number
  /** Evaluation loss of the folder that was written, loaded again. */
  loss: number
}

export type MergeOutcome = MadeArtifact<MergeSummary>

/** Base and adapter, or with method full the trained model, as one model folder, loaded again and evaluated before it counts. */
export async function merge(context: StageContext, input: MergeInput): Promise<MergeOutcome> {
  const { base, tokenized, adapter, settings, batchSize, tunedLoss } = input
  const inputs = { model: base.digest, tokenized: tokenized.digest, adapter: adapter.digest }
  return runStage(context, { stage: 'merge', version: VERSION, inputs, settings }, async (outDir) => {
    const rows = await openInput<TokenizeSummary>(context, tokenized)
    const { dir: trainedDir } = await openInput(context, adapter)
    context.progress({ phase: 'merging', done: 0 })
    const path = await locateModel(context, base)
    const model = openBaseModel(path)
    let dtype: ModelType
    try {
      const dialogue = dialogueOf(rows)
      const untrained = base.training.maxSteps === 0
      const options = { ...settings, dialogue, untrained }
      const tuned = tunedModel(path, trainedDir)
      ;({ dtype } = tuned.adapterDir
        ? await writeMergedModel(outDir, model, readAdapter(tuned.adapterDir), options)
        : await writeTuned(outDir, tuned.path, model, options))
    } finally {
      model.close()
    }
    const loss = await evaluationLoss(context, { base, path: outDir, tokenizedDir: rows.dir, batchSize })
    if (!(Math.abs(loss - tunedLoss) <= TOLERANCE[dtype] * tunedLoss)) {
      throw new Error(
        `the merged model's evaluation loss is ${loss}, the tuned model's is ${tunedLoss}: the merge is wrong and is not kept`,
      )
    }
    return { dtype, bytes: await bytesBelow(outDir), loss }
  })
}

/** A model all of whose weights were trained: there is nothing to merge, it only gets the job's number format and dialogue. */
async function writeTuned(
  outDir: string,
  path: string,
  base: BaseModel,
  options: MergeOptions,
): Promise<{ dtype: ModelType }> {
  const dtype = options.dtype === 'auto' ? ownType(base.weights) : options.dtype
  const { weights, close } = openBaseModel(path)
  try {
    await writeModel(outDir, base, weights, { ...options, dtype })
    return { dtype }
  } finally {
    close()
  }
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size
  return bytes
}
