import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { readRows } from '../data/read-rows.ts'
import { InputError } from '../errors.ts'
import type { FineTuneScheduleSpec } from '../spec/fine-tune-schedule.ts'
import type { ResolvedModel } from '../stages/resolve-model.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { canonicalJson } from '../store/canonical-json.ts'
import { type Champion, championOf } from './champion.ts'
import { type Chunk, presentRows, readChunk } from './chunk-rows.ts'
import { cleanChunk, cleaningSettings, type NewRow, rawDigest } from './clean-chunk.ts'
import { decide, type Decision } from './decide.ts'
import { changeNightState, type NightState, readNightState } from './night-state.ts'
import { below, makeSnapshot, type Snapshot } from './snapshot.ts'
import { observeSources, type SourceObject } from './sources.ts'
import { tokenizingSettings } from '../stages/tokenize-artifact.ts'

export interface LookInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  spec: FineTuneScheduleSpec
  /** When the night began, ISO 8601: the only clock of a night. */
  at: string
}

export interface RowCounts {
  /** Rows that the sources hold. */
  read: number
  /** Never seen before: cleaned tonight. */
  cleaned: number
  /** Tokenized tonight. */
  tokenized: number
  /** That no judged model was trained on. */
  fresh: number
  vanished: number
}

export interface LookOutcome {
  decision: Decision
  counts: RowCounts
  /** Chunks that a judged night has seen all of. */
  chunks: number
  snapshot?: Snapshot
  champion?: Champion
}

/**
 * What the sources hold that no judged model has seen, cleaned, and whether that is worth a training. What is cleaned is
 * remembered; the watermark stays where it is.
 */
export async function lookForRows(context: StageContext, input: LookInput): Promise<LookOutcome> {
  const { store } = context
  const { base, spec } = input
  const { fineTune, newData } = spec
  const name = fineTune.publish.name
  const champion = await championOf(store, name)
  if (champion !== undefined && champion.base.digest !== base.digest) {
    throw new InputError(
      `${name}: its published version ${champion.version} is of another base model than ${base.source}, so they cannot be compared; publish under another name.`,
    )
  }
  const settings = digestOf(cleaningSettings(fineTune.data))
  const found = await readNightState(store, name)
  const state = found?.settings === settings ? found : freshState(settings, found)
  const objects = await observeSources(fineTune.data.train)
  const sources = Object.fromEntries(objects.map(({ name, identity }) => [name, identity]))
  const hoursSinceTraining =
    state.trainedAt === undefined
      ? undefined
      : (Date.parse(input.at) - Date.parse(state.trainedAt)) / 3_600_000

  if (isUnchanged(state, sources)) {
    const decision = decide({ newRows: 0, vanished: 0, hoursSinceTraining }, newData)
    const counts = { read: 0, cleaned: 0, tokenized: 0, fresh: 0, vanished: 0 }
    if (!decision.run) return { decision, counts, chunks: state.chunks.length }
  }
  const chunks: Chunk[] = []
  for (const { digest } of state.chunks) chunks.push(await readChunk(context, digest))
  const { present, unseen } = await readSources(context, objects, new Set(chunks.flatMap(({ raws }) => raws)))
  const vanished = chunks.reduce((sum, { raws }) => sum + raws.filter((raw) => !present.has(raw)).length, 0)
  const counts: RowCounts = { read: present.size, cleaned: 0, tokenized: 0, fresh: 0, vanished }
  if (vanished > 0 && newData.onShrink === 'skip') {
    const decision = decide({ newRows: 0, vanished, hoursSinceTraining }, newData)
    return { decision, counts, chunks: state.chunks.length }
  }
  const next: NightState = { ...state, sources }
  if (unseen.length > 0) {
    const made = await cleanChunk(below(context, 'clean-chunk'), unseen, cleaningSettings(fineTune.data))
    const { read, kept } = made.summary
    counts.cleaned = made.skipped ? 0 : read
    next.chunks = [...state.chunks, { digest: made.ref.digest, read, kept }]
    chunks.push(await readChunk(context, made.ref.digest))
  }
  await changeNightState(store, name, () => next)
  const rows = presentRows(chunks, state.consumed, (raw) => present.has(raw))
  counts.fresh = rows.filter(({ fresh }) => fresh).length
  const decision = decide({ newRows: counts.fresh, vanished, hoursSinceTraining }, newData)
  if (!decision.run) return { decision, counts, chunks: chunks.length }
  const snapshot = await makeSnapshot(context, {
    base,
    chunks,
    rows,
    settings: tokenizingSettings(fineTune.data),
  })
  counts.tokenized = snapshot.tokenizedNow
  return { decision, counts, chunks: chunks.length, snapshot, ...(champion && { champion }) }
}

/** Other cleaning rules make other rows of everything: it begins anew, and says so by its counts. */
function freshState(settings: string, found: NightState | undefined): NightState {
  const { evaluationSet, trainedAt, failing } = found ?? {}
  return {
    settings,
    sources: {},
    chunks: [],
    consumed: 0,
    ...(evaluationSet && { evaluationSet }),
    ...(trainedAt !== undefined && { trainedAt }),
    ...(failing !== undefined && { failing }),
  }
}

/** The same files, and nothing waits from nights before: then there is nothing to read. */
function isUnchanged(state: NightState, sources: Record<string, string>): boolean {
  return state.consumed === state.chunks.length && canonicalJson(state.sources) === canonicalJson(sources)
}

/** Every row of the sources by its raw digest; those that are not `known` with their values. */
async function readSources(
  context: StageContext,
  objects: readonly SourceObject[],
  known: ReadonlySet<string>,
): Promise<{ present: Set<string>; unseen: NewRow[] }> {
  const present = new Set<string>()
  const unseen: NewRow[] = []
  for (const [index, object] of objects.entries()) {
    const folder = join(context.scratchDir, `source-${index}`)
    await mkdir(folder, { recursive: true })
    for await (const row of readRows({ name: object.name, path: await object.fetch(folder) })) {
      context.signal.throwIfAborted()
      const raw = rawDigest(row.value)
      if (!present.has(raw) && !known.has(raw)) unseen.push({ raw, file: object.name, row })
      present.add(raw)
      if (present.size % 1024 === 0) context.progress({ phase: 'row', done: present.size })
    }
  }
  return { present, unseen }
}

const digestOf = (value: unknown) => createHash('sha256').update(canonicalJson(value)).digest('hex')
