import path from 'node:path'
import { z } from 'zod'
import { CorruptError, InputError, TransientError } from '../errors.ts'
import {
  checkpointFolder,
  checkpointFolders,
  checkpointManifest,
  checkpointName,
  epochOf,
  markQuarantined,
  moveLatest,
  quarantineMark,
  stepOf,
} from './checkpoint-pointer.ts'
import { jsonText, readJson } from './json-object.ts'
import type { Lease } from './lease.ts'
import type { Store } from './store.ts'
import { checkBytes, checkSizes, fetchFiles, fileEntrySchema, hashFiles, storeFiles } from './stored-files.ts'
import type { FileEntry, LocalFile } from './stored-files.ts'

const manifestSchema = z.strictObject({
  version: z.literal(1),
  step: z.int().min(0),
  epoch: z.int().min(1),
  attempt: z.string(),
  files: z.array(fileEntrySchema).min(1),
  meta: z.unknown(),
})
const markSchema = z.object({ reason: z.string() })
type CheckpointManifest = z.infer<typeof manifestSchema>

/** A checkpoint to resume from: its files in a local folder, to be read only. */
export interface OpenCheckpoint {
  name: string
  step: number
  /** The lease epoch that saved it. */
  epoch: number
  meta: unknown
  dir: string
}

export interface Quarantined {
  name: string
  reason: string
}

/**
 * Saves a checkpoint under `prefix` (`jobs/<jobId>/training/<digest>`): its files, then its manifest, then `latest.json` by
 * compare-and-swap under the lease, then what is no longer kept is removed. A kill between any two of these leaves the one before
 * as the latest. FencedError for a zombie. One save at a time for one lease. `files` have plain names; `meta` is small JSON.
 */
export async function saveCheckpoint(
  store: Store,
  lease: Lease,
  prefix: string,
  step: number,
  files: readonly LocalFile[],
  meta: unknown,
  options: {
    keepLast: number
    /** The step whose checkpoint is kept beside the last ones: the best so far. */
    best?: number | undefined
    signal?: AbortSignal
  },
): Promise<{ name: string }> {
  await lease.check()
  const name = await freeName(store, lease, prefix, step, files)
  try {
    if (name.taken === undefined) {
      const entries = await storeFiles(store, checkpointFolder(prefix, name.name), files, options.signal)
      const { epoch, attempt } = lease
      const manifest: CheckpointManifest = { version: 1, step, epoch, attempt, files: entries, meta }
      await store.write(checkpointManifest(prefix, name.name), jsonText(manifest), { kind: 'absent' })
    }
    // Older ones are given up below, so first make sure that this one can be had.
    const saved = await readManifest(store, prefix, name.name)
    await checkSizes(store, saved.files)
  } catch (error) {
    // A later owner prunes what a zombie leaves on its way: files, and on a disk the folder under its hands. Then neither the store nor the
    // disk is at fault. A store elsewhere that does not answer would not answer this either.
    const isUnreachable = error instanceof TransientError && store.localPath(prefix) === undefined
    if (!isUnreachable) await lease.check()
    throw error
  }
  const kept = await moveLatest(store, lease, prefix, (names) => {
    const all = [name.name, ...names.filter((other) => other !== name.name)]
    const best = all.find((other) => stepOf(other) === options.best)
    return all.filter((other, place) => place < options.keepLast || other === best)
  })
  await prune(store, lease, prefix, kept)
  return { name: name.name }
}

/**
 * The newest checkpoint whose manifest and every file's SHA-256 are right, or undefined where there is none. It first moves
 * `latest.json` to this lease's epoch, so that no zombie can move it any more. Corrupt ones are set aside and reported.
 * Files of a store elsewhere are fetched into `cacheDir`.
 */
export async function latestCheckpoint(
  store: Store,
  lease: Lease,
  prefix: string,
  cacheDir: string,
): Promise<{ checkpoint: OpenCheckpoint | undefined; quarantined: Quarantined[] }> {
  const quarantined: Quarantined[] = []
  const names = await moveLatest(
    store,
    lease,
    prefix,
    (known) => known,
    (reason) => quarantined.push({ name: 'latest.json', reason }),
  )
  for (const name of names) {
    try {
      return { checkpoint: await open(store, prefix, name, cacheDir), quarantined }
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error
      await markQuarantined(store, prefix, name, lease.epoch, error.message)
      await moveLatest(store, lease, prefix, (known) => known.filter((other) => other !== name))
      quarantined.push({ name, reason: error.message })
    }
  }
  return { checkpoint: undefined, quarantined }
}

/**
 * Goes back: of the checkpoints that may be resumed from, those after `step` are given up, so that the next attempt begins
 * with it, or anew where it is 0. InputError, naming those that are there, where there is none of this step.
 */
export async function rewindTo(store: Store, lease: Lease, prefix: string, step: number): Promise<void> {
  await moveLatest(store, lease, prefix, (names) => {
    const earlier = names.filter((name) => stepOf(name) <= step)
    if (step === 0 || earlier.some((name) => stepOf(name) === step)) return earlier
    const there = names.map(stepOf).sort((a, b) => a - b)
    throw new InputError(
      there.length === 0
        ? `There is no checkpoint of step ${step}, nor any other: give 0 to train anew`
        : `There is no checkpoint of step ${step}; there are those of ${there.join(', ')}`,
    )
  })
}

/** The checkpoints that were set aside as corrupt, with the reason; they stay until somebody removes them. */
export async function quarantinedCheckpoints(store: Store, prefix: string): Promise<Quarantined[]> {
  const found: Quarantined[] = []
  for (const [name, keys] of await checkpointFolders(store, prefix)) {
    const mark = quarantineMark(prefix, name)
    if (!keys.includes(mark)) continue
    const read = await readJson(store, mark, markSchema)
    if (read) found.push({ name, reason: read.value.reason })
  }
  return found
}

async function open(store: Store, prefix: string, name: string, cacheDir: string): Promise<OpenCheckpoint> {
  const { step, epoch, meta, files } = await readManifest(store, prefix, name)
  await checkSizes(store, files)
  const inPlace = store.localPath(checkpointFolder(prefix, name))
  const dir = inPlace ?? path.join(cacheDir, prefix, name)
  if (inPlace === undefined) await fetchFiles(store, files, dir)
  else for (const entry of files) await checkBytes(store, entry, path.join(dir, entry.name))
  return { name, step, epoch, meta, dir }
}

async function readManifest(store: Store, prefix: string, name: string): Promise<CheckpointManifest> {
  const key = checkpointManifest(prefix, name)
  const found = await readJson(store, key, manifestSchema)
  if (found === undefined) throw new CorruptError(`${key} is missing in ${store.uri}`)
  const stray = found.value.files.find(
    (file) => file.key !== `${checkpointFolder(prefix, name)}/${file.name}`,
  )
  if (stray !== undefined)
    throw new CorruptError(`${key} in ${store.uri} names a file of another place: ${stray.key}`)
  return found.value
}

/**
 * A name for this step. Where this epoch has saved the step before with the same bytes (a save killed before the pointer moved),
 * that one is taken; with other bytes (a rewound trainer), the next copy's name.
 */
async function freeName(
  store: Store,
  lease: Lease,
  prefix: string,
  step: number,
  files: readonly LocalFile[],
): Promise<{ name: string; taken?: true }> {
  const fingerprint = (entries: readonly Pick<FileEntry, 'name' | 'sha256'>[]) =>
    entries
      .map(({ name, sha256 }) => `${name} ${sha256}`)
      .sort()
      .join('\n')
  for (let copy = 1; ; copy++) {
    const name = checkpointName(step, lease.epoch, copy)
    if ((await store.head(quarantineMark(prefix, name))) !== undefined) continue
    if ((await store.head(checkpointManifest(prefix, name))) === undefined) return { name }
    try {
      const { files: saved } = await readManifest(store, prefix, name)
      if (fingerprint(saved) === fingerprint(await hashFiles(files))) return { name, taken: true }
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error // What cannot be read is left as it is; the next name is free.
    }
  }
}

/**
 * Removes every checkpoint that is not kept, of each the manifest first, so that no half is ever whole. Those set aside stay, and so
 * do those of later epochs: this may be a zombie that was stopped right after it moved the pointer.
 */
async function prune(store: Store, lease: Lease, prefix: string, kept: readonly string[]): Promise<void> {
  for (const [name, keys] of await checkpointFolders(store, prefix)) {
    if (kept.includes(name) || keys.includes(quarantineMark(prefix, name)) || epochOf(name) > lease.epoch)
      continue
    const manifest = checkpointManifest(prefix, name)
    if (keys.includes(manifest)) await store.remove(manifest)
    for (const key of keys) if (key !== manifest) await store.remove(key)
  }
}
