import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { CorruptError, InputError } from '../errors.ts'
import { ADAPTER_CONFIG_FILE, parseAdapterConfig } from '../export/read-adapter.ts'
import { readJsonFile } from '../formats/json-file.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { openInput } from '../stages/open-input.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { findArtifact } from '../store/artifact.ts'
import { readJson } from '../store/json-object.ts'
import type { Store } from '../store/store.ts'
import { requireAlike } from '../train/starting-adapter.ts'
import type { Champion } from './champion.ts'
import type { ChunkRow } from './chunk-rows.ts'

/** Beside the files of a snapshot that goes on from a champion: ids of all training rows that its model will have learned. */
export const LEARNED_FILE = 'learned.json'

/** A whole model's folder has it. */
const MODEL_CONFIG_FILE = 'config.json'
/** Hex digits that make a number which a double holds exactly (52 bits). */
const DIGITS = 13

/** InputError where the champion is of another method or shape than the spec asks for: before anything is read or trained. */
export async function requireContinuable(
  store: Store,
  champion: Champion,
  settings: FineTuneSpec['train'],
): Promise<void> {
  const manifest = await findArtifact(store, champion.adapter)
  const has = (wanted: string) => manifest?.files.find(({ name }) => name === wanted)
  const isWhole = has(MODEL_CONFIG_FILE) !== undefined
  if (manifest && isWhole !== (settings.method === 'full'))
    throw new InputError(
      `spec.fineTune.train.method is ${settings.method}, but version ${champion.version}, which training goes on from, is ${isWhole ? 'a whole model' : 'an adapter'}; write ${isWhole ? 'full' : 'lora'}, or set spec.start.from to base.`,
    )
  if (isWhole) return
  const file = has(ADAPTER_CONFIG_FILE)
  const config = file && (await readJson(store, file.key, z.record(z.string(), z.json())))?.value
  if (config === undefined) {
    throw new CorruptError(`the adapter of version ${champion.version} is gone from ${store.uri}`)
  }
  requireAlike(parseAdapterConfig(config, `version ${champion.version}`), settings)
}

/** Ids of the training rows that a published model has learned, over all models that it goes back to. */
export async function learnedRows(context: StageContext, champion: Champion): Promise<Set<string>> {
  const { dir, manifest } = await openInput(context, champion.tokenized)
  const name = manifest.files.some((file) => file.name === LEARNED_FILE) ? LEARNED_FILE : 'rows.json'
  const { train } = readJsonFile(join(dir, name))
  if (!Array.isArray(train)) throw new CorruptError(`${dir}: ${name} names no training rows`)
  return new Set(train.map(String))
}

export interface Replay<R> {
  /** The rows to go on with: every evaluation row, the training rows that are new to the model, and the replayed ones. */
  rows: R[]
  replayed: number
  /** Training rows that are new to the model. */
  unlearned: number
}

/**
 * What a model is taught that goes on from a champion. Each old row is replayed or not by the hash of its content and of the
 * champion: the same choice on every attempt, and another one after every publication.
 */
export function chooseRows<R extends Pick<ChunkRow, 'row' | 'side'>>(
  rows: readonly R[],
  learned: ReadonlySet<string>,
  { champion, replayFraction }: { champion: Champion; replayFraction: number },
): Replay<R> {
  let replayed = 0
  let unlearned = 0
  const chosen = rows.filter(({ row, side }) => {
    if (side === 'eval') return true
    if (!learned.has(row.id)) unlearned++
    else if (isReplayed(row.id, champion.adapter.digest, replayFraction)) replayed++
    else return false
    return true
  })
  return { rows: chosen, replayed, unlearned }
}

function isReplayed(id: string, champion: string, fraction: number): boolean {
  const hash = createHash('sha256').update(`${champion} ${id}`).digest('hex')
  return Number.parseInt(hash.slice(0, DIGITS), 16) / 16 ** DIGITS < fraction
}
