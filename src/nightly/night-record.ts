import { jsonText } from '../store/json-object.ts'
import { checkKey } from '../store/key.ts'
import type { Store } from '../store/store.ts'
import type { Decision } from './decide.ts'
import type { RowCounts } from './look-for-rows.ts'
import type { Verdict } from './verdict.ts'

export type NightEnd = 'published' | 'kept' | 'skipped' | 'failed'

/** How one night of a name ended, and why. */
export interface NightRecord {
  name: string
  schedule: string
  /** When it was due, or was triggered: ISO 8601. */
  at: string
  /** The night's workflow run: equal for a record that is written again. */
  night: string
  end: NightEnd
  /** One sentence. */
  why: string
  decision?: Decision['why']
  rows?: RowCounts
  /** Digest of the tokenized rows. */
  data?: string
  /** Its job, whose log and artifacts stay also where the model was kept back. */
  job?: string
  adapter?: string
  evaluationSet?: number
  verdict?: Verdict
  /** The version that it published. */
  version?: number
  /** The version that the challenger had to beat; missing where that was the base model. */
  champion?: number
  /** The version whose adapter the training went on from; missing where it began at the base model. */
  continuedFrom?: number
  /** The night before had failed, and this one has not. */
  recovered?: boolean
}

/** Somebody moved the name by hand. */
export interface RollbackRecord {
  name: string
  at: string
  end: 'rolledBack'
  from: number
  version: number
  why: string
}

export type HistoryRecord = NightRecord | RollbackRecord

/** Written by one night alone, and again by a retry of it. */
export async function writeRecord(store: Store, id: string, record: HistoryRecord): Promise<void> {
  const key = checkKey(`${prefixOf(record.name)}${record.at.replaceAll(/[-:]/g, '')}-${id}.json`)
  await store.write(key, jsonText(record), { kind: 'overwrite' })
}

/** All records of a name, the oldest first. */
export async function listRecords(store: Store, name: string): Promise<HistoryRecord[]> {
  const keys: string[] = []
  for await (const { key } of store.list(prefixOf(name))) if (key.endsWith('.json')) keys.push(key)
  const records: HistoryRecord[] = []
  for (const key of keys.sort()) {
    const object = await store.read(key)
    if (object) records.push(JSON.parse(new TextDecoder().decode(object.bytes)) as HistoryRecord)
  }
  return records
}

const prefixOf = (name: string) => `models/${checkKey(name)}/nights/records/`
