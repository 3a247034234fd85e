import { join } from 'node:path'
import { readAdapter } from '../export/read-adapter.ts'
import type { TunedModel } from '../export/tuned-model.ts'
import type { BaseModel } from '../base/base-model.ts'
import { openBaseModel } from '../base/open-base-model.ts'
import type { Sample } from '../data/tokenize-side.ts'
import { InputError } from '../errors.ts'
import { readTextFile } from '../formats/json-file.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import type { NamedRows } from '../train/batches.ts'
import { createEngine } from '../train/create-engine.ts'
import type { Engine, Layout } from '../train/engine.ts'
import { readNamedRows } from '../train/read-rows.ts'
import type { TaskContext } from '../train/task-context.ts'
import { type EvaluationMetrics, evaluateModel, evaluationBatches } from './evaluate-model.ts'
import { type EvaluatedRow, evaluateRows, metricsOfRows } from './evaluate-rows.ts'
import { sampleAnswers } from './sample-answers.ts'

/** A model under the name that the evaluation gives it: base, tuned, merged, gguf-q8_0. */
export interface EvaluatedModel extends TunedModel {
  name: string
}

/** Several models on the same rows and the same questions. Writes `outDir`/evaluation.json (Evaluation). */
export interface EvaluateTask {
  kind: 'evaluate'
  models: EvaluatedModel[]
  /** eval.safetensors, rows.json and samples.json. */
  tokenizedDir: string
  batchSize: number
  /** Questions answered by each model; 0 for none. */
  samples: number
  maxNewTokens: number
  /** Tokens that end an answer, beside the model's own. */
  stopTokenIds: number[]
  /** Every row by itself, written to `outDir`/evaluated-rows.json ({model: EvaluatedRow[]}) as well. */
  perRow?: true
  layout: Layout
  threads: number
  outDir: string
}

export interface EvaluateSummary {
  rows: number
  models: Record<string, EvaluationMetrics>
  seconds: number
}

/** evaluation.json. */
export interface Evaluation extends EvaluateSummary {
  samples: {
    id: string
    question: string
    reference: string
    /** By the model's name. */
    answers: Record<string, string>
  }[]
}

export const EVALUATION_FILE = 'evaluation.json'
export const EVALUATED_ROWS_FILE = 'evaluated-rows.json'

/** Evaluates one model after the other: one in memory at a time. */
export async function runEvaluateTask(task: EvaluateTask, context: TaskContext): Promise<EvaluateSummary> {
  const { models, tokenizedDir, batchSize } = task
  const began = context.clock.now()
  const rows = readNamedRows(tokenizedDir, 'eval')
  const samples = task.samples > 0 ? readSamples(tokenizedDir).slice(0, task.samples) : []
  const progress = {
    step: 0,
    steps: models.length * (evaluationBatches(rows.count, task.perRow ? 1 : batchSize) + samples.length),
    microBatch: 0,
    layer: 0,
    trainedTokens: 0,
  }
  const advance = () => {
    progress.step++
    context.report({ phase: 'evaluate', ...progress })
  }
  const metrics: Evaluation['models'] = {}
  const evaluatedRows: Record<string, EvaluatedRow[]> = {}
  const answered: Evaluation['samples'] = samples.map(({ id, question, reference }) => ({
    id,
    question,
    reference,
    answers: {},
  }))
  for (const model of models) {
    context.report({ phase: 'load', ...progress })
    const result = await withEngine(model, task, async (engine, base) => {
      context.report({ phase: 'evaluate', ...progress })
      return evaluateAndAnswer(engine, base, { rows, samples, task, context, advance })
    })
    metrics[model.name] = result.metrics
    if (result.rows) evaluatedRows[model.name] = result.rows
    for (const [i, answer] of result.answers.entries()) {
      const sample = answered[i]
      if (sample) sample.answers[model.name] = answer
    }
  }
  const summary = { rows: rows.count, models: metrics, seconds: (context.clock.now() - began) / 1000 }
  const evaluation: Evaluation = { ...summary, samples: answered }
  await writeOutputFile(join(task.outDir, EVALUATION_FILE), [
    Buffer.from(`${JSON.stringify(evaluation, null, 2)}\n`),
  ])
  if (task.perRow)
    await writeOutputFile(join(task.outDir, EVALUATED_ROWS_FILE), [
      Buffer.from(JSON.stringify(evaluatedRows)),
    ])
  return summary
}

interface Work {
  rows: NamedRows
  samples: Sample[]
  task: EvaluateTask
  context: TaskContext
  advance: () => void
}

async function evaluateAndAnswer(
  engine: Engine,
  base: BaseModel,
  { rows, samples, task, context, advance }: Work,
) {
  const { batchSize, maxNewTokens, stopTokenIds } = task
  const { signal } = context
  if (task.perRow) {
    const each = await evaluateRows(engine, rows, { signal, report: advance })
    return { metrics: metricsOfRows(each), answers: [], rows: each }
  }
  const metrics = await evaluateModel(engine, rows, { batchSize, signal, report: advance })
  if (samples.length === 0) return { metrics, answers: [] }
  if (!base.tokenizer)
    throw new InputError(
      'The model has no tokenizer.json to write sample answers with; set spec.eval.samples to 0',
    )
  const decoder = await engine.decoder()
  try {
    const stops = [...stopTokenIds, ...base.config.eosTokenIds, base.tokenizer.eos.id]
    const options = { maxNewTokens, stopTokenIds: stops, signal, report: advance }
    return { metrics, answers: await sampleAnswers(decoder, base.tokenizer, samples, options) }
  } finally {
    await decoder.dispose()
  }
}

async function withEngine<T>(
  { path, adapterDir }: EvaluatedModel,
  { layout, threads }: EvaluateTask,
  use: (engine: Engine, base: BaseModel) => Promise<T>,
): Promise<T> {
  const base = openBaseModel(path)
  try {
    const adapter = adapterDir === undefined ? undefined : readAdapter(adapterDir)
    const engine = await createEngine({
      config: base.config,
      weights: base.weights,
      adapter,
      layout,
      threads,
    })
    try {
      return await use(engine, base)
    } finally {
      await engine.dispose()
    }
  } finally {
    base.close()
  }
}

function readSamples(tokenizedDir: string): Sample[] {
  return JSON.parse(readTextFile(join(tokenizedDir, 'samples.json'))) as Sample[]
}
