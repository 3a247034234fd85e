import { join } from 'node:path'
import { evaluateModel } from '../eval/evaluate-model.ts'
import { openBaseModel } from '../base/open-base-model.ts'
import type { BaseModel } from '../base/base-model.ts'
import { InputError, NonFiniteError } from '../errors.ts'
import { type AdapterOrigin, writeAdapter } from '../export/write-adapter.ts'
import { writeTrainedModel } from '../export/write-trained-model.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import { CheckpointFiles, type CheckpointPlace } from './checkpoint-files.ts'
import type { NamedRows } from './batches.ts'
import { calibrationRows } from './calibration-rows.ts'
import { CheckpointSaver } from './checkpoint-saver.ts'
import { createEngine } from './create-engine.ts'
import type { Engine } from './engine.ts'
import { thisEnvironment } from './environment.ts'
import { memoryLimit } from './memory-limit.ts'
import { refuseUnfit } from './refuse-unfit.ts'
import { optimizerBits } from './optimizer-names.ts'
import { readNamedRows } from './read-rows.ts'
import { loraConfigOf, startingAdapter } from './starting-adapter.ts'
import type { TaskContext } from './task-context.ts'
import type { Recheck } from './recheck.ts'
import { train } from './train.ts'
import { metricLines } from './metric-lines.ts'
import type { EvaluateNow } from './evaluations.ts'
import type { TrainSettings } from './train-settings.ts'
import type { TrainingRecord, TrainingState } from './training-state.ts'
import type { PrecisionChoice } from './precision-choice.ts'
import { precisionOfJob } from './precision-of-job.ts'
import { plannedTokens } from './step-plan.ts'
import type { Precision } from '../model/precision.ts'
import type { Trained } from '../model/trained.ts'

/**
 * A training from its start or its newest checkpoint to its end. Writes metrics.jsonl into outDir, and adapter_config.json and
 * adapter_model.safetensors, or with method full a whole model folder in float32.
 */
export interface TrainTask {
  kind: 'train'
  /** A model folder or a .gguf file. */
  modelPath: string
  /** What adapter_config.json names as the base. */
  origin: AdapterOrigin
  /** train.safetensors and rows.json. */
  tokenizedDir: string
  settings: TrainSettings
  /** Folder of the adapter, or with method full of the model, that training goes on from; else it begins at the base model. */
  continueFrom?: string
  checkpoints: CheckpointPlace
  scratchDir: string
  outDir: string
}

export interface TrainSummary {
  steps: number
  epochs: number
  /** Tokens of the rows seen, padding not counted. */
  trainedTokens: number
  /** Those among them that the loss counts. */
  supervisedTokens: number
  /** Of training, loading and lost attempts not counted. */
  seconds: number
  tokensPerSecond: number
  /** Missing where no step was asked for (maxSteps 0). */
  firstLoss?: number
  lastLoss?: number
  /** Step of the checkpoint that this attempt began with. */
  resumedFromStep?: number
  /** The bits are those of an undisturbed run. */
  exact: boolean
  /**
   * The first resume in another environment, else this attempt's: the recorded loss of what came next and the one that was found. They are
   * equal in the same environment, or memory is bad.
   */
  recheck?: Recheck
  /** What `precision: auto` became, and why. */
  precision?: PrecisionChoice
  /** Of evaluations during training: how many, and the best by metricForBestModel. */
  evaluations?: { count: number; bestStep: number; bestLoss: number }
  /** The evaluations ended training before its last step. */
  stoppedEarly?: true
  /** How often training went back because the loss ran away or was not finite, and what it left out. */
  rollbacks?: TrainingRecord['rescue']['rollbacks']
}

export const METRICS_FILE = 'metrics.jsonl'

export async function runTrainTask(task: TrainTask, context: TaskContext): Promise<TrainSummary> {
  const { settings, checkpoints: place, scratchDir } = task
  const loading = (layer: number) =>
    context.report({ phase: 'load', step: 0, steps: 0, microBatch: 0, layer, trainedTokens: 0 })
  loading(0)
  const isFull = settings.method === 'full'
  const base = openBaseModel(isFull ? (task.continueFrom ?? task.modelPath) : task.modelPath)
  const rows = readNamedRows(task.tokenizedDir, 'train')
  try {
    const adapter = isFull ? 'all-weights' : startingAdapter(base, settings, task.continueFrom)
    const files = await CheckpointFiles.open(place, scratchDir, settings.checkpoint.keepLast)
    const latest = (trained: Trained) => files.latest(trained, context.log)
    // What an adapter goes on from is read before the engine is made, since it says in which precision.
    const stateOfAdapter = adapter === 'all-weights' ? undefined : await latest(adapter)
    const { precision, choice } = await precisionOfJob({
      asked: settings.precision,
      resumeFrom: stateOfAdapter,
      refuse: (wanted) => refuseWithoutMemory(base, rows, settings, wanted, context),
      choosing: {
        base,
        rows,
        lora: loraConfigOf(settings),
        threads: settings.threads,
        seed: settings.seed,
        plannedTokens: plannedTokens(rows, settings),
        progress: loading,
      },
      told: ({ chosen, why, compared }) =>
        context.log({ level: 'info', message: `precision ${chosen}: ${why}`, fields: { ...compared } }),
    })
    const engine = await createEngine({
      config: base.config,
      weights: base.weights,
      adapter,
      layout: settings.layout,
      device: settings.device,
      precision,
      checkpointing: settings.gradientCheckpointing,
      threads: settings.threads,
      calibration: calibrationRows(rows),
      regularization: {
        labelSmoothing: settings.labelSmoothingFactor,
        neftuneNoiseAlpha: settings.neftuneNoiseAlpha,
      },
    })
    try {
      const resumeFrom = isFull ? await latest(engine.trained) : stateOfAdapter
      const summary = await trainWith({ engine, rows, resumeFrom, choice }, task, context)
      const untrained = settings.maxSteps === 0
      if (adapter === 'all-weights') await writeTrainedModel(task.outDir, base, engine.trained, untrained)
      else await writeAdapter(task.outDir, adapter, task.origin, untrained)
      return summary
    } finally {
      await engine.dispose()
    }
  } finally {
    base.close()
  }
}

interface Prepared {
  engine: Engine
  rows: NamedRows
  resumeFrom: TrainingState | undefined
  choice: PrecisionChoice | undefined
}

async function trainWith(
  { engine, rows, resumeFrom, choice }: Prepared,
  task: TrainTask,
  context: TaskContext,
): Promise<TrainSummary> {
  const { settings, scratchDir, outDir, checkpoints: place } = task
  const { keepLast } = settings.checkpoint
  const saver = new CheckpointSaver({ place, scratchDir, keepLast })
  try {
    let recheck: Recheck | undefined
    const record = await train({
      engine,
      rows,
      settings,
      environment: thisEnvironment(settings),
      resumeFrom,
      precision: choice,
      clock: context.clock,
      signal: context.signal,
      report: context.report,
      log: context.log,
      rechecked: (found) => (recheck = found),
      ...(settings.evalStrategy !== 'no' && { evaluate: evaluationOf(engine, task, context) }),
      save: async (state) => {
        const { step } = state.record
        const begun = context.clock.now()
        const bytes = await saver.save(state)
        context.checkpointSaved({ step, bytes, seconds: (context.clock.now() - begun) / 1000 })
      },
    })
    await writeOutputFile(join(outDir, METRICS_FILE), [Buffer.from(metricLines(record))])
    // Of all resumes the first that was not exact says most.
    const told = record.inexact ?? recheck
    return { ...summaryOf(record, resumeFrom?.record.step), ...(told && { recheck: told }) }
  } finally {
    await saver.close()
  }
}

/** The held-out rows. They are read now, so that a training without them ends before its first step. */
function evaluationOf(engine: Engine, task: TrainTask, { signal }: TaskContext): EvaluateNow {
  const rows = readNamedRows(task.tokenizedDir, 'eval')
  if (rows.count === 0)
    throw new InputError(
      `spec.train.evalStrategy is ${task.settings.evalStrategy}, but no row is held out; give files in spec.data.eval, raise spec.data.evalFraction, or delete evalStrategy`,
    )
  const batchSize = task.settings.perDeviceEvalBatchSize
  return (report) => evaluateModel(engine, rows, { batchSize, signal, report })
}

/** Before anything is loaded: a kill for want of memory comes late and says nothing. */
function refuseWithoutMemory(
  { config, weights }: BaseModel,
  rows: NamedRows,
  settings: TrainSettings,
  precision: Precision,
  { log }: TaskContext,
): void {
  if (settings.layout !== 'by-layer') return
  const limit = memoryLimit()
  let longest = 1
  for (let row = 0; row < rows.count; row++) longest = Math.max(longest, rows.ids(row).length)
  const estimate = refuseUnfit(
    {
      config,
      weights,
      lora: settings.method === 'full' ? 'all-weights' : loraConfigOf(settings),
      momentBits: optimizerBits(settings.optim),
      keepsBest: settings.loadBestModelAtEnd,
      precision,
      checkpointing: settings.gradientCheckpointing,
      rows: Math.min(settings.perDeviceTrainBatchSize, rows.count),
      length: Math.max(longest, settings.packedLength ?? 0),
    },
    limit,
  )
  const megabytes = (bytes: number) => Math.round(bytes / 1e6)
  const parts = Object.entries(estimate).map(([part, bytes]) => [part, megabytes(bytes as number)])
  log({
    level: 'info',
    message: `the training takes about ${megabytes(estimate.total)} MB of ${megabytes(limit.bytes)}`,
    fields: Object.fromEntries(parts) as Record<string, number>,
  })
}

function summaryOf(record: TrainingRecord, resumedFromStep: number | undefined): TrainSummary {
  const { step, trainedTokens, supervisedTokens, seconds, exact, metrics, rescue, evaluation } = record
  const { firstLoss, lastLoss } = record
  if (step > 0 && (firstLoss === undefined || lastLoss === undefined))
    throw new NonFiniteError('No step of this training had a finite loss; look at the rows')
  return {
    steps: step,
    epochs: metrics.at(-1)?.epoch ?? 0,
    trainedTokens,
    supervisedTokens,
    seconds,
    tokensPerSecond: seconds > 0 ? trainedTokens / seconds : 0,
    ...(firstLoss !== undefined && { firstLoss }),
    ...(lastLoss !== undefined && { lastLoss }),
    ...(resumedFromStep !== undefined && { resumedFromStep }),
    exact,
    ...(record.precision && { precision: record.precision }),
    ...(evaluation?.bestStep !== undefined &&
      evaluation.bestLoss !== undefined && {
        evaluations: {
          count: evaluation.lines.length,
          bestStep: evaluation.bestStep,
          bestLoss: evaluation.bestLoss,
        },
      }),
    ...(evaluation?.stopped && { stoppedEarly: true as const }),
    ...(rescue.rollbacks.length > 0 && { rollbacks: rescue.rollbacks }),
  }
}
