import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { CorruptError, InputError } from '../errors.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import {
  readSafetensors,
  type SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from '../formats/safetensors.ts'
import type { Trained } from '../model/trained.ts'
import type { AdamWState } from './adamw.ts'
import { copyMoment, type Moment } from './blockwise-moment.ts'
import { evaluationRecord } from './evaluation-record.ts'
import type { TrainedTensors } from './evaluations.ts'
import { metricScheduleState } from './metric-schedule.ts'
import { precisionChoice } from './precision-choice.ts'

/** Fields of state.json; docs/training-child.md explains them. A change that old readers would misread takes the next version. */
const VERSION = 3
/** Without evaluations; a job that began then goes on. */
const VERSION_BEFORE = 2

const metricLine = z.object({
  /** Optimizer steps done. */
  step: z.int(),
  epoch: z.number(),
  /** Mean over the steps since the line before. */
  loss: z.number(),
  learningRate: z.number(),
  /** Missing where the gradient was not finite, so that fp16 left the step out. */
  gradientNorm: z.number().optional(),
  /** Of precision fp16, before the step. */
  lossScale: z.number().optional(),
  trainedTokens: z.int(),
  /** Of training, over all attempts that count. */
  seconds: z.number(),
})

const trainingRecord = z.object({
  version: z.literal([VERSION, VERSION_BEFORE]),
  step: z.int().min(0),
  trainedTokens: z.int(),
  supervisedTokens: z.int(),
  seconds: z.number(),
  firstLoss: z.number().optional(),
  lastLoss: z.number().optional(),
  /** Losses since the last metric line. */
  unflushed: z.array(z.number()),
  metrics: z.array(metricLine),
  schedule: z.object({
    name: z.string(),
    learningRate: z.number(),
    warmupSteps: z.int(),
    totalSteps: z.int(),
  }),
  /** Of evaluations during training, once there is one. */
  evaluation: evaluationRecord.optional(),
  /** Of a schedule that follows evaluations. */
  metricSchedule: metricScheduleState.optional(),
  /** Of precision fp16. */
  lossScale: z.object({ scale: z.number(), finiteSteps: z.int(), skippedSteps: z.int() }).optional(),
  /** Rows of the data set: with the seed and the step, the data position. */
  rows: z.int(),
  environment: z.object({
    runtime: z.string(),
    node: z.string(),
    platform: z.string(),
    processor: z.string(),
    instructionSet: z.string().optional(),
    build: z.string().optional(),
    threads: z.int(),
    layout: z.string(),
    device: z.string().optional(),
    seed: z.int(),
    microBatchRows: z.int(),
  }),
  /** What `precision: auto` became when the job began. */
  precision: precisionChoice.optional(),
  /** False as soon as one part was computed in another environment. */
  exact: z.boolean(),
  /** The first resume that was not exact: the loss that was recorded for what came next, and what it was there. */
  inexact: z.object({ step: z.int(), recorded: z.number(), recomputed: z.number() }).optional(),
  /** What the next step begins with, to be found again on resume: the loss of its first row (or pack), without dropout. */
  probe: z.number().optional(),
  /** Of the detectors of divergence, and what they have led to: see rescue.ts. */
  rescue: z.object({
    /** Losses that were no spikes, the newest last. */
    recent: z.array(z.number()),
    /** Spikes in a row. */
    streak: z.int(),
    /** Steps that are left out. */
    skipped: z.array(z.int()),
    rollbacks: z.array(
      z.object({
        step: z.int(),
        to: z.int(),
        reason: z.enum(['spike', 'notFinite']),
        skipped: z.array(z.int()),
      }),
    ),
  }),
})
/** All of the state that is no tensor. */
export type TrainingRecord = z.infer<typeof trainingRecord>

/** Everything that the next step depends on, and everything the job will report. */
export interface TrainingState {
  record: TrainingRecord
  /** What is trained: an adapter's tensors, or all weights. */
  adapter: Trained['tensors']
  moments: AdamWState
  /** What is trained at the best evaluation, where training is to end with it. */
  best: TrainedTensors | undefined
}

const TENSORS = 'state.safetensors'
const RECORD = 'state.json'
export const STATE_FILES = [TENSORS, RECORD] as const

/** A copy that later steps do not change. */
export function copyState(
  record: TrainingRecord,
  trained: Trained,
  moments: Readonly<AdamWState>,
  best: TrainedTensors | undefined,
): TrainingState {
  const copies = (map: TrainedTensors) => new Map(Array.from(map, ([name, data]) => [name, data.slice()]))
  return {
    record: structuredClone(record),
    adapter: new Map(
      Array.from(trained.tensors, ([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
    ),
    moments: copyMoments(moments),
    best: best && copies(best),
  }
}

export function copyMoments({ step, first, second }: Readonly<AdamWState>): AdamWState {
  const copies = (map: ReadonlyMap<string, Moment>) =>
    new Map(Array.from(map, ([name, moment]) => [name, copyMoment(moment)]))
  return { step, first: copies(first), second: copies(second) }
}

/** Writes the state's two files into a folder. */
export async function writeState(
  dir: string,
  { record, adapter, moments, best }: TrainingState,
): Promise<void> {
  const tensors: TensorToWrite[] = []
  for (const [name, { shape, data }] of adapter) {
    tensors.push({ name: `adapter.${name}`, type: 'F32', shape, data })
    for (const moment of ['first', 'second'] as const) {
      const values = moments[moment].get(name)
      if (!values) throw new Error(`no ${moment} moment of ${name}`)
      tensors.push(...momentTensors(`${moment}.${name}`, shape, values))
    }
    const kept = best?.get(name)
    if (kept) tensors.push({ name: `best.${name}`, type: 'F32', shape, data: kept })
  }
  await writeSafetensors(join(dir, TENSORS), tensors)
  await writeOutputFile(join(dir, RECORD), [Buffer.from(JSON.stringify(record))])
}

/**
 * Reads what writeState wrote, for tensors of these names and shapes. CorruptError where the files are damaged or
 * belong to others.
 */
export async function readState(dir: string, expected: Trained): Promise<TrainingState> {
  let file: SafetensorsFile | undefined
  try {
    const record = trainingRecord.parse(JSON.parse(await readFile(join(dir, RECORD), 'utf8')))
    file = readSafetensors(join(dir, TENSORS))
    const opened = file
    const checked = (kind: string, name: string, shape: readonly number[]): string => {
      const stored = opened.infos.get(`${kind}.${name}`)?.shape.join('×')
      if (stored !== shape.join('×'))
        throw new CorruptError(`${kind}.${name} is ${stored}, not ${shape.join('×')}`)
      return `${kind}.${name}`
    }
    const adapter = new Map<string, { shape: readonly number[]; data: Float32Array }>()
    const { skipped } = record.rescue
    const leftOut =
      skipped.filter((step) => step < record.step).length + (record.lossScale?.skippedSteps ?? 0)
    const stepsTaken = record.step - leftOut
    const moments: AdamWState = { step: stepsTaken, first: new Map(), second: new Map() }
    const best = new Map<string, Float32Array>()
    for (const [name, { shape }] of expected.tensors) {
      const read = (kind: string): Float32Array => opened.float32(checked(kind, name, shape))
      adapter.set(name, { shape, data: read('adapter') })
      for (const kind of ['first', 'second'] as const) {
        const absmax = `${kind}.${name}.absmax`
        const isBlockwise = file.infos.has(absmax)
        const codes = isBlockwise ? file.bytes(checked(kind, name, shape)) : undefined
        moments[kind].set(name, codes ? { codes, absmax: file.float32(absmax) } : read(kind))
      }
      if (file.infos.has(`best.${name}`)) best.set(name, read('best'))
    }
    if (best.size > 0 && best.size < adapter.size)
      throw new CorruptError(`of the best model's ${adapter.size} tensors there are ${best.size}`)
    return { record, adapter, moments, best: best.size > 0 ? best : undefined }
  } catch (cause) {
    if (
      cause instanceof SyntaxError ||
      cause instanceof z.ZodError ||
      cause instanceof InputError ||
      cause instanceof CorruptError
    )
      throw new CorruptError(`${dir}: the training state cannot be read: ${cause.message}`, { cause })
    throw cause
  } finally {
    file?.close()
  }
}

/** True where every number of what is trained and of the moments is finite: what is not must never be saved. */
export function isFiniteState(trained: Trained, { first, second }: Readonly<AdamWState>): boolean {
  const tensors = Array.from(trained.tensors.values(), ({ data }) => data)
  const moments = [...first.values(), ...second.values()].map((moment) =>
    moment instanceof Float32Array ? moment : moment.absmax,
  )
  return [...tensors, ...moments].every(isFiniteArray)
}

/** In 8 bits: the codes under the moment's own name, and the blocks' scales beside them. */
function momentTensors(name: string, shape: readonly number[], moment: Moment): TensorToWrite[] {
  if (moment instanceof Float32Array) return [{ name, type: 'F32', shape, data: moment }]
  const { codes, absmax } = moment
  return [
    { name, type: 'U8', shape, data: codes },
    { name: `${name}.absmax`, type: 'F32', shape: [absmax.length], data: absmax },
  ]
}

function isFiniteArray(data: Float32Array): boolean {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return false
  return true
}
