import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CleanSummary } from '../data/clean-rows.ts'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import { EVALUATION_FILE, type Evaluation } from '../eval/evaluate-task.ts'
import { type ModelCard, writeModelCard } from '../export/write-model-card.ts'
import { LORA_FIELDS } from '../spec/method-problems.ts'
import type { ArtifactRef } from '../store/artifact.ts'
import { acquireLease } from '../store/lease.ts'
import { publishVersion, versionFolder } from '../store/model-registry.ts'
import type { TrainSettings } from '../train/train-settings.ts'
import { METRICS_FILE, type TrainSummary } from '../train/train-task.ts'
import { type Decision, decisionText } from './decision.ts'
import type { FineTuneArtifacts } from './fine-tune-summary.ts'
import type { MergeSummary } from './merge.ts'
import { openInput } from './open-input.ts'
import type { QuantizeSummary } from './quantize.ts'
import type { ResolvedModel } from './resolve-model.ts'
import type { StageContext } from './stage-context.ts'
import type { StageOutcome } from './stage-outcome.ts'

export interface PublishInput {
  jobId: string
  attempt: number
  name: string
  /** Names this act of publishing: a second attempt at it makes no second version. */
  publication: string
  base: ResolvedModel
  /** Names of the training files, for the card. */
  dataFiles: string[]
  artifacts: FineTuneArtifacts
  /** The version whose adapter the training went on from, with that adapter's digest. */
  continuedFrom?: { version: number; adapter: string }
  /** Of the person who was asked. */
  approval?: Decision
}

export interface PublishSummary {
  name: string
  version: number
  /** Folder of the version, or its address in a remote store. */
  place: string
}

export type PublishOutcome = StageOutcome<PublishSummary>

const CARD_FILE = 'README.md'

/**
 * Puts adapter (with method full the whole model), quantised files, evaluation and model card into the store as the name's next
 * version, and moves the name to it. A merged model stays where it is, an artifact that never changes; the card says where.
 */
export async function publish(context: StageContext, input: PublishInput): Promise<PublishOutcome> {
  const { jobId, name, publication, base, artifacts, continuedFrom, approval } = input
  const { store, signal } = context
  const folder = join(context.scratchDir, 'out')
  await mkdir(folder, { recursive: true })
  // A whole model is published in the job's number format, not in the float32 that it was trained in.
  const isFull = base.training.method === 'full'
  if (isFull) await copyInto(context, artifacts.adapter, folder, [METRICS_FILE])
  for (const ref of [
    isFull ? artifacts.merged : artifacts.adapter,
    artifacts.quantized,
    artifacts.evaluation,
  ]) {
    if (ref !== undefined) await copyInto(context, ref, folder)
  }
  signal.throwIfAborted()
  const card = await cardOf(context, input, folder)
  const { source, revision, digest } = base
  const { manifest } = await publishVersion(
    store,
    name,
    {
      contentKey: publication,
      attempt: context.attemptName,
      folder,
      summary: {
        base: { source, digest, ...(revision !== undefined && { revision }) },
        artifacts,
        ...(continuedFrom && { continuedFrom }),
        ...(approval && { approval }),
      },
      prepare: (version) => writeModelCard(join(folder, CARD_FILE), { ...card, version }),
    },
    { lease: await acquireLease(store, jobId, context.attemptName), signal },
  )
  return {
    skipped: false,
    summary: { name, version: manifest.version, place: versionFolder(store, manifest) },
  }
}

async function copyInto(
  context: StageContext,
  ref: ArtifactRef,
  folder: string,
  only?: readonly string[],
): Promise<void> {
  const { dir, manifest } = await openInput(context, ref)
  for (const { name } of manifest.files)
    if (only?.includes(name) ?? true) await copyFile(join(dir, name), join(folder, name))
}

/** What the training was set to; an adapter's settings only where there was one. */
function settingsOf(training: TrainSettings): Record<string, unknown> {
  const without = new Set<string>(training.method === 'full' ? LORA_FIELDS : [])
  return Object.fromEntries(Object.entries(training).filter(([name]) => !without.has(name)))
}

/** Everything that the stages have measured and counted. */
async function cardOf(
  context: StageContext,
  { name, base, dataFiles, artifacts, continuedFrom, approval }: PublishInput,
  folder: string,
): Promise<Omit<ModelCard, 'version'>> {
  const { source, revision, digest } = base
  const clean = (await openInput<CleanSummary>(context, artifacts.clean)).manifest.summary
  const tokenized = (await openInput<TokenizeSummary>(context, artifacts.tokenized)).manifest.summary
  const trained = (await openInput<TrainSummary>(context, artifacts.adapter)).manifest
  const merged = (await openInput<MergeSummary>(context, artifacts.merged)).manifest
  const evaluation = JSON.parse(await readFile(join(folder, EVALUATION_FILE), 'utf8')) as Evaluation
  const quantized = artifacts.quantized
    ? (await openInput<QuantizeSummary>(context, artifacts.quantized)).manifest.summary.files
    : {}
  const formats = Object.entries(quantized)
  const isFull = base.training.method === 'full'
  return {
    name,
    base: { source, digest, ...(revision !== undefined && { revision }) },
    ...(continuedFrom && { continuedFrom: continuedFrom.version }),
    ...(approval && { approval: `${decisionText(approval)} (${new Date(approval.at).toISOString()})` }),
    data: {
      train: dataFiles,
      trainRows: tokenized.trainRows,
      evalRows: tokenized.evalRows,
      removed: { ...clean.removed, ...tokenized.droppedFor },
      template: tokenized.template,
    },
    method: base.training.method,
    training: {
      ...trained.summary,
      settings: { ...settingsOf(base.training), ...chosenPrecision(trained.summary) },
    },
    evaluation: {
      ...evaluation.models,
      merged: { loss: merged.summary.loss },
      ...Object.fromEntries(formats.map(([format, { loss }]) => [format, { loss }])),
    },
    samples: evaluation.samples,
    files: [
      ...(isFull
        ? [
            {
              name: 'config.json',
              what: 'the model, as transformers loads it, with its weights and tokenizer beside it',
            },
          ]
        : [
            { name: 'adapter_model.safetensors', what: 'the adapter, as PEFT loads it' },
            { name: 'adapter_config.json', what: "the adapter's settings" },
          ]),
      { name: METRICS_FILE, what: 'loss and learning rate of every step' },
      ...formats.map(([format, { file }]) => ({ name: file, what: `the merged model as ${format}` })),
      { name: EVALUATION_FILE, what: 'what was measured, and the sample answers' },
      ...(isFull
        ? []
        : [
            {
              name: `artifacts/merge/${merged.digest}/${merged.attempt}`,
              what: 'the merged model, elsewhere in the same store',
            },
          ]),
    ],
  }
}

/** What `precision: auto` became, in place of it. */
function chosenPrecision({ precision }: TrainSummary): { precision?: string } {
  return precision ? { precision: `${precision.chosen} (auto: ${precision.why})` } : {}
}
