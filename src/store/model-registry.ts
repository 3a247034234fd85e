import { z } from 'zod'
import { ConflictError, CorruptError, InputError, TransientError } from '../errors.ts'
import { jsonText, readJson } from './json-object.ts'
import { checkKey } from './key.ts'
import type { Lease } from './lease.ts'
import type { Store } from './store.ts'
import { checkSizes, fileEntrySchema, filesBelow, storeFiles } from './stored-files.ts'
import type { FileEntry } from './stored-files.ts'

/** A published version. Its manifest, put last and once, makes it exist. */
export interface ModelVersion<S = unknown> {
  name: string
  version: number
  /** Equal for two publications that are the same act: a retry finds the version that its forerunner made. */
  contentKey: string
  attempt: string
  files: FileEntry[]
  summary: S
}

const versionSchema = z.strictObject({
  name: z.string(),
  version: z.int().min(1),
  contentKey: z.string(),
  attempt: z.string(),
  files: z.array(fileEntrySchema),
  summary: z.unknown(),
})

/** `highest`: the newest version that publishing ever made current. A late retry of an older one moves nothing. */
const currentSchema = z.strictObject({ version: z.int().min(1), highest: z.int().min(1) })
type Current = z.infer<typeof currentSchema>

/** Each lost round is a publication by somebody else. */
const MAX_ROUNDS = 100

/**
 * Publishes the files of `folder` as the model's next version and moves the name to it in one step. Version numbers are dense:
 * n is made only by an attempt that has seen all below it, by a conditional write, so one content key never gets two.
 * Returns the version; `created` is false where a forerunner with the same content key had made it.
 */
export async function publishVersion<S>(
  store: Store,
  name: string,
  publication: {
    contentKey: string
    attempt: string
    folder: string
    summary: S
    /** Puts what names the version into the folder; called again where the number went to somebody else. */
    prepare?: (version: number) => Promise<void>
  },
  options: { lease?: Lease; signal?: AbortSignal } = {},
): Promise<{ version: number; manifest: ModelVersion<S>; created: boolean }> {
  const { contentKey, attempt, folder, summary } = publication
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const versions = await listVersions(store, name)
    const made = versions.find((version) => version.contentKey === contentKey) as ModelVersion<S> | undefined
    if (made !== undefined) {
      await moveForward(store, name, made.version)
      return { version: made.version, manifest: made, created: false }
    }
    const version = (versions.at(-1)?.version ?? 0) + 1
    await publication.prepare?.(version)
    const prefix = `${versionPrefix(name, version)}/${attempt}`
    const files = await storeFiles(store, prefix, await filesBelow(folder), options.signal)
    const manifest: ModelVersion<S> = { name, version, contentKey, attempt, files, summary }
    await options.lease?.check()
    try {
      await store.write(manifestKey(name, version), jsonText(manifest), { kind: 'absent' })
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      // The number went to another publication, or to a twin of this attempt, whose files are these.
      if ((await readVersion(store, name, version))?.attempt !== attempt) {
        for (const { key } of files) await store.remove(key)
      }
      continue
    }
    await moveForward(store, name, version)
    return { version, manifest, created: true }
  }
  throw new TransientError(`other publications of ${name} came first ${MAX_ROUNDS} times in a row`)
}

/** Every published version, the oldest first. */
export async function listVersions(store: Store, name: string): Promise<ModelVersion[]> {
  const prefix = `models/${name}/versions/`
  checkKey(`models/${name}`)
  const numbers: number[] = []
  for await (const { key } of store.list(prefix)) {
    const number = /^([1-9][0-9]*)\/manifest\.json$/.exec(key.slice(prefix.length))?.[1]
    if (number !== undefined) numbers.push(Number(number))
  }
  const versions: ModelVersion[] = []
  for (const number of numbers.sort((a, b) => a - b)) {
    const version = await readVersion(store, name, number)
    if (version !== undefined) versions.push(version)
  }
  return versions
}

/** The version that the name stands for, or undefined where nothing is published. */
export async function currentVersion(store: Store, name: string): Promise<ModelVersion | undefined> {
  const current = await readJson(store, currentKey(name), currentSchema)
  if (current === undefined) return undefined
  const version = await readVersion(store, name, current.value.version)
  if (version === undefined) {
    throw new CorruptError(
      `${currentKey(name)} in ${store.uri} names version ${current.value.version}, which is not there`,
    )
  }
  return version
}

/** Lets the name stand for an existing version, also an older one. InputError where the version is not there or not whole. */
export async function moveName(store: Store, name: string, version: number): Promise<void> {
  const manifest = await readVersion(store, name, version)
  if (manifest === undefined) {
    const known = (await listVersions(store, name)).map((each) => each.version)
    throw new InputError(
      `${name} has no version ${version}; ${known.length === 0 ? 'none is published' : `there are ${known.join(', ')}`}`,
    )
  }
  await checkSizes(store, manifest.files)
  await moveCurrent(store, name, (current) => ({
    version,
    highest: Math.max(version, current?.highest ?? 0),
  }))
}

/** Where a version's files lie, for people: a folder of the store. */
export function versionFolder(store: Store, { name, version, attempt }: ModelVersion): string {
  const prefix = `${versionPrefix(name, version)}/${attempt}`
  return store.localPath(prefix) ?? `${store.uri}/${prefix}`
}

async function moveForward(store: Store, name: string, version: number): Promise<void> {
  await moveCurrent(store, name, (current) =>
    current !== undefined && current.highest >= version ? undefined : { version, highest: version },
  )
}

/** One compare-and-swap; `next` gives undefined where the name is to stay. */
async function moveCurrent(
  store: Store,
  name: string,
  next: (current: Current | undefined) => Current | undefined,
): Promise<void> {
  const key = currentKey(name)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const current = await readJson(store, key, currentSchema)
    const value = next(current?.value)
    if (value === undefined) return
    try {
      await store.write(
        key,
        jsonText(value),
        current === undefined ? { kind: 'absent' } : { kind: 'matches', etag: current.etag },
      )
      return
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new TransientError(`the name ${name} was moved by others ${MAX_ROUNDS} times in a row`)
}

async function readVersion(store: Store, name: string, version: number): Promise<ModelVersion | undefined> {
  const found = (await readJson(store, manifestKey(name, version), versionSchema))?.value
  if (found === undefined) return undefined
  const prefix = `${versionPrefix(name, version)}/${found.attempt}/`
  if (
    found.name !== name ||
    found.version !== version ||
    found.files.some((file) => file.key !== prefix + file.name)
  ) {
    throw new CorruptError(`${manifestKey(name, version)} in ${store.uri} is the manifest of something else`)
  }
  return found
}

const versionPrefix = (name: string, version: number) => checkKey(`models/${name}/versions/${version}`)
const manifestKey = (name: string, version: number) => `${versionPrefix(name, version)}/manifest.json`
const currentKey = (name: string) => checkKey(`models/${name}/current.json`)
