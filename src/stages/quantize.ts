import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openBaseModel } from '../base/open-base-model.ts'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import { InputError } from '../errors.ts'
import { writeGguf } from '../export/write-gguf.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { dialogueOf } from './dialogue-of.ts'
import { evaluationLoss } from './evaluation-loss.ts'
import type { MergeSummary } from './merge.ts'
import { openInput } from './open-input.ts'
import type { ResolvedModel } from './resolve-model.ts'
import { runStage } from './run-stage.ts'
import type { StageContext } from './stage-context.ts'
import type { StageOutcome } from './stage-outcome.ts'

/** Raised whenever the same merged model would be quantised into other bytes. */
const VERSION = 1

export interface QuantizeInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  tokenized: ArtifactRef
  merged: ArtifactRef
  settings: FineTuneSpec['quantize']
  /** Of the evaluation that checks the result. */
  batchSize: number
  /** Stands in the file's metadata and is the file's name. */
  name: string
}

export interface QuantizeSummary {
  /** By format. */
  files: Record<string, QuantizedFile>
}

export interface QuantizedFile {
  file: string
  bytes: number
  /** Evaluation loss of the file that was written, loaded again. */
  loss: number
  mergedLoss: number
}

export type QuantizeOutcome = StageOutcome<QuantizeSummary>

/** The merged model in the formats that the spec asks for, each loaded again, evaluated and held against the merged model. */
export async function quantize(context: StageContext, input: QuantizeInput): Promise<QuantizeOutcome> {
  const { base, tokenized, merged, settings, batchSize, name } = input
  if (settings.formats.length === 0) return { skipped: true, summary: { files: {} } }
  const inputs = { tokenized: tokenized.digest, merged: merged.digest }
  const recipe = { stage: 'quantize', version: VERSION, inputs, settings: { ...settings, name } }
  return runStage(context, recipe, async (outDir) => {
    const rows = await openInput<TokenizeSummary>(context, tokenized)
    const whole = await openInput<MergeSummary>(context, merged)
    const mergedLoss = whole.manifest.summary.loss
    const files: Record<string, QuantizedFile> = {}
    for (const format of settings.formats) {
      context.progress({ phase: 'quantizing', done: 0 })
      const file = `${name}.Q8_0.gguf`
      const path = join(outDir, file)
      await writeQ8(path, whole.dir, name, rows)
      const loss = await evaluationLoss(context, { base, path, tokenizedDir: rows.dir, batchSize })
      requireClose(format, loss, mergedLoss, settings.maxLossIncrease)
      files[format] = { file, bytes: (await stat(path)).size, loss, mergedLoss }
    }
    return { files }
  })
}

async function writeQ8(
  path: string,
  modelDir: string,
  name: string,
  rows: Parameters<typeof dialogueOf>[0],
): Promise<void> {
  const { config, weights, tokenizer, close } = openBaseModel(modelDir)
  try {
    if (tokenizer === undefined) throw new Error('the merged model has no tokenizer')
    await writeGguf(path, { config, weights, tokenizer, type: 'Q8_0', name, dialogue: dialogueOf(rows) })
  } finally {
    close()
  }
}

function requireClose(format: string, loss: number, mergedLoss: number, allowed: number): void {
  const increase = loss / mergedLoss - 1
  if (increase <= allowed) return
  throw new InputError(
    `${format}: its evaluation loss ${loss.toFixed(4)} is ${(increase * 100).toFixed(1)} % above the merged model's ${mergedLoss.toFixed(4)}, more than the ${allowed * 100} % of spec.quantize.maxLossIncrease: raise that, or leave the format out of spec.quantize.formats.`,
  )
}
