import { z } from 'zod'
import { ConflictError, InputError } from '../errors.ts'
import { jsonText, readJson } from '../store/json-object.ts'
import { checkKey } from '../store/key.ts'
import type { Store } from '../store/store.ts'

const chunk = z.strictObject({ digest: z.string(), read: z.int(), kept: z.int() })

/**
 * What a name's nights have seen. Cleaning is remembered at once, so that no row is cleaned twice, also where the night fails
 * later; the watermark (`consumed`) moves only when a trained model has been judged.
 */
const stateSchema = z.strictObject({
  /** Of the settings by which rows are cleaned: other settings begin anew. */
  settings: z.string(),
  /** Name to identity of every file, as it was when its rows were last read. */
  sources: z.record(z.string(), z.string()),
  /** Rows cleaned together, in the order of their coming. */
  chunks: z.array(chunk),
  /** The watermark: of so many chunks the rows have been trained on and judged. */
  consumed: z.int().min(0),
  /** The frozen evaluation set: which version, known by which artifact, made by which settings. */
  evaluationSet: z.exactOptional(
    z.strictObject({ version: z.int(), digest: z.string(), settings: z.string() }),
  ),
  /** ISO 8601. */
  trainedAt: z.exactOptional(z.string()),
  /** The last night failed. */
  failing: z.exactOptional(z.boolean()),
  /** Chunks that one night has begun to make: it counts its work by them. */
  made: z.exactOptional(z.strictObject({ night: z.string(), digests: z.array(z.string()) })),
})
export type NightState = z.infer<typeof stateSchema>

/** Of a name that no night has looked at. */
export const EMPTY_STATE: NightState = { settings: '', sources: {}, chunks: [], consumed: 0 }

export async function readNightState(store: Store, name: string): Promise<NightState | undefined> {
  return (await readJson(store, stateKey(name), stateSchema))?.value
}

/** Changes the state by compare-and-swap. ConflictError where two nights of one name run at once: the later one gives up. */
export async function changeNightState(
  store: Store,
  name: string,
  change: (state: NightState | undefined) => NightState,
): Promise<void> {
  const found = await readJson(store, stateKey(name), stateSchema)
  const next = jsonText(change(found?.value))
  await store.write(
    stateKey(name),
    next,
    found === undefined ? { kind: 'absent' } : { kind: 'matches', etag: found.etag },
  )
}

const claimSchema = z.strictObject({ schedule: z.string() })

/** Makes the name the schedule's own. InputError where another schedule publishes it. */
export async function claimName(store: Store, name: string, schedule: string): Promise<void> {
  try {
    await store.write(claimKey(name), jsonText({ schedule }), { kind: 'absent' })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const owner = (await readJson(store, claimKey(name), claimSchema))?.value.schedule
    if (owner === schedule) return
    throw new InputError(
      `${name} is published by the schedule ${owner}: give spec.fineTune.publish.name another name, or delete that schedule first.`,
      { cause: error },
    )
  }
}

/** Gives the name free, where it is the schedule's. */
export async function releaseName(store: Store, name: string, schedule: string): Promise<void> {
  const owner = await readJson(store, claimKey(name), claimSchema)
  if (owner?.value.schedule === schedule) await store.remove(claimKey(name))
}

const stateKey = (name: string) => checkKey(`models/${name}/nights/state.json`)
const claimKey = (name: string) => checkKey(`models/${name}/schedule.json`)
