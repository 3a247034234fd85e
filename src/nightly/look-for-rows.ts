import { createHash } from 'node:crypto'
import { InputError } from '../errors.ts'
import type { FineTuneScheduleSpec } from '../spec/fine-tune-schedule.ts'
import type { ResolvedModel } from '../stages/resolve-model.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { canonicalJson } from '../store/canonical-json.ts'
import { type Champion, championOf } from './champion.ts'
import { type Chunk, presentRows, readChunk } from './chunk-rows.ts'
import { cleanChunk, cleaningSettings } from './clean-chunk.ts'
import { chooseRows, learnedRows, requireContinuable } from './continuation.ts'
import { decide, type Decision } from './decide.ts'
import { changeNightState, claimName, EMPTY_STATE, type NightState, readNightState } from './night-state.ts'
import { NightWork } from './night-work.ts'
import { readSources } from './read-sources.ts'
import { below, makeSnapshot, type Snapshot } from './snapshot.ts'
import { observeSources } from './sources.ts'
import { tokenizingSettings } from '../stages/tokenize-artifact.ts'

export interface LookInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  spec: FineTuneScheduleSpec
  /** The schedule's name: the model's name must be its own. Missing in nights that an older Temper began. */
  schedule?: string
  /** When the night began, ISO 8601: the only clock of a night. */
  at: string
}

export interface RowCounts {
  /** Files that the sources hold. */
  files: number
  /** Those among them that had to be read: new, changed, or with rows that nobody had cleaned. */
  filesRead: number
  /** Rows that the sources hold; 0 where no file had changed. */
  read: number
  /** Never seen before: cleaned tonight, by whichever attempt. */
  cleaned: number
  /** Tokenized tonight. */
  tokenized: number
  /** That no judged model was trained on. */
  fresh: number
  vanished: number
  /** Old rows that are trained on again, where a night goes on from the champion. */
  replayed?: number
}

export interface LookOutcome {
  decision: Decision
  counts: RowCounts
  /** Chunks that a judged night has seen all of. */
  chunks: number
  snapshot?: Snapshot
  champion?: Champion
  /** The training goes on from the champion's adapter. */
  continues?: true
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
  if (input.schedule !== undefined) await claimName(store, name, input.schedule)
  const champion = await championOf(store, name)
  if (champion !== undefined && champion.base.digest !== base.digest) {
    throw new InputError(
      `${name}: its published version ${champion.version} is of another base model than ${base.source}, so they cannot be compared; publish under another name.`,
    )
  }
  const continued = spec.start?.from === 'champion' ? champion : undefined
  if (continued) await requireContinuable(store, continued, fineTune.train)
  const settings = digestOf(cleaningSettings(fineTune.data))
  const found = await readNightState(store, name)
  const state = found?.settings === settings ? found : freshState(settings, found)
  const objects = await observeSources(fineTune.data.train)
  const sources = Object.fromEntries(objects.map(({ name, identity }) => [name, identity]))
  const hoursSinceTraining =
    state.trainedAt === undefined
      ? undefined
      : (Date.parse(input.at) - Date.parse(state.trainedAt)) / 3_600_000

  const counts: RowCounts = {
    files: objects.length,
    filesRead: 0,
    read: 0,
    cleaned: 0,
    tokenized: 0,
    fresh: 0,
    vanished: 0,
  }
  if (isUnchanged(state, sources)) {
    const decision = decide({ newRows: 0, vanished: 0, hoursSinceTraining }, newData)
    if (!decision.run) return { decision, counts, chunks: state.chunks.length }
  }
  const chunks: Chunk[] = []
  for (const { digest } of state.chunks) chunks.push(await readChunk(context, digest))
  const known = new Set(chunks.flatMap(({ raws }) => raws))
  const { present, unseen, filesRead } = await readSources(context, objects, known)
  const vanished = chunks.reduce((sum, { raws }) => sum + raws.filter((raw) => !present.has(raw)).length, 0)
  Object.assign(counts, { filesRead, read: present.size, vanished })
  if (vanished > 0 && newData.onShrink === 'skip') {
    const decision = decide({ newRows: 0, vanished, hoursSinceTraining }, newData)
    return { decision, counts, chunks: state.chunks.length }
  }
  const next: NightState = { ...state, sources }
  const work = new NightWork(store, name, input.jobId, found)
  if (unseen.length > 0) {
    const made = await cleanChunk(
      below(context, 'clean-chunk'),
      unseen,
      cleaningSettings(fineTune.data),
      work,
    )
    const { read, kept } = made.summary
    next.chunks = [...state.chunks, { digest: made.ref.digest, read, kept }]
    chunks.push(await readChunk(context, made.ref.digest))
  }
  await changeNightState(store, name, () => ({ ...next, made: work.note }))
  for (const { digest, read } of next.chunks) if (work.isMine(digest)) counts.cleaned += read
  const rows = presentRows(chunks, state.consumed, (raw) => present.has(raw))
  counts.fresh = rows.filter(({ fresh }) => fresh).length
  const decision = decide({ newRows: counts.fresh, vanished, hoursSinceTraining }, newData)
  if (!decision.run) return { decision, counts, chunks: chunks.length }
  const taught = continued && (await teach(context, continued, rows, spec.start?.replayFraction ?? 0))
  if (taught) counts.replayed = taught.replayed
  if (taught && taught.unlearned + taught.replayed === 0) {
    const text = `Of ${counts.fresh} new rows none falls to training; they count for the next night.`
    return { decision: { run: false, why: 'tooFew', text }, counts, chunks: chunks.length }
  }
  const snapshot = await makeSnapshot(context, {
    base,
    chunks,
    rows: taught?.rows ?? rows,
    ...(taught && { learned: taught.learned }),
    settings: tokenizingSettings(fineTune.data),
    work,
  })
  counts.tokenized = snapshot.tokenizedNow
  return {
    decision,
    counts,
    chunks: chunks.length,
    snapshot,
    ...(champion && { champion }),
    ...(continued && { continues: true as const }),
  }
}

/** Which rows the champion is taught further, and what it has learned then. */
async function teach(
  context: StageContext,
  champion: Champion,
  rows: ReturnType<typeof presentRows>,
  replayFraction: number,
) {
  const before = await learnedRows(context, champion)
  const chosen = chooseRows(rows, before, { champion, replayFraction })
  const taught = chosen.rows.filter(({ side }) => side === 'train').map(({ row }) => row.id)
  return { ...chosen, learned: { from: champion.adapter.digest, ids: [...new Set([...before, ...taught])] } }
}

/** Other cleaning rules make other rows of everything: it begins anew, and says so by its counts. */
function freshState(settings: string, found: NightState | undefined): NightState {
  const { evaluationSet, trainedAt, failing } = found ?? {}
  return {
    ...EMPTY_STATE,
    settings,
    ...(evaluationSet && { evaluationSet }),
    ...(trainedAt !== undefined && { trainedAt }),
    ...(failing !== undefined && { failing }),
  }
}

/** The same files, and nothing waits from nights before: then there is nothing to read. */
function isUnchanged(state: NightState, sources: Record<string, string>): boolean {
  return state.consumed === state.chunks.length && canonicalJson(state.sources) === canonicalJson(sources)
}

const digestOf = (value: unknown) => createHash('sha256').update(canonicalJson(value)).digest('hex')
