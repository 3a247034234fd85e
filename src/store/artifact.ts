import { createHash } from 'node:crypto'
import path from 'node:path'
import { z } from 'zod'
import { ConflictError, CorruptError } from '../errors.ts'
import { canonicalJson } from './canonical-json.ts'
import { makeFolder } from './durable-files.ts'
import { jsonText, readJson } from './json-object.ts'
import { checkKey } from './key.ts'
import type { Lease } from './lease.ts'
import type { Store, WriteCondition } from './store.ts'
import { SHA256, checkSizes, fetchFiles, fileEntrySchema, filesBelow, storeFiles } from './stored-files.ts'
import type { FileEntry } from './stored-files.ts'

/** All that goes through a workflow's history, beside small numbers. */
export interface ArtifactRef {
  stage: string
  digest: string
}

/** What a stage's output is known by. */
export interface StageIdentity {
  stage: string
  /** The stage's version: raised when its code makes other bytes of the same inputs. */
  version: number
  /** Digests of what it reads, by name. */
  inputs: Record<string, string>
  /** Its part of the spec, with every `auto` resolved. */
  settings: unknown
}

/** A finished artifact. Written last and once: before it nothing exists, after it nothing changes. */
export interface Manifest<S = unknown> extends StageIdentity {
  digest: string
  /** Whose files these are. */
  attempt: string
  files: FileEntry[]
  /** Small numbers and names that later stages and people want without opening the files. */
  summary: S
}

const manifestSchema = z.strictObject({
  stage: z.string(),
  version: z.int(),
  digest: z.string().regex(SHA256),
  attempt: z.string(),
  inputs: z.record(z.string(), z.string()),
  settings: z.unknown(),
  files: z.array(fileEntrySchema),
  summary: z.unknown(),
  /** Set where the files were found corrupt: the artifact counts as absent, and its next commit replaces this manifest. */
  quarantined: z.string().optional(),
})

/** SHA-256 of the canonical JSON: equal for equal inputs, whatever the order of their fields. */
export function stageDigest({ stage, version, inputs, settings }: StageIdentity): string {
  return createHash('sha256').update(canonicalJson({ stage, version, inputs, settings })).digest('hex')
}

/** The artifact's manifest, or undefined where it has not been made (or was set aside as corrupt). */
export async function findArtifact<S = unknown>(
  store: Store,
  ref: ArtifactRef,
): Promise<Manifest<S> | undefined> {
  const found = await readManifest(store, ref)
  return found === undefined || found.quarantined ? undefined : (found.manifest as Manifest<S>)
}

/**
 * Stores the finished files of `folder` and then the manifest, if nobody has put one there. Where another attempt's manifest is
 * there, that one is returned and this attempt's files are removed: equal inputs make equal outputs. With a lease, a zombie
 * gives up before the manifest (FencedError).
 */
export async function commitArtifact<S>(
  store: Store,
  identity: StageIdentity & { digest: string; attempt: string },
  folder: string,
  summary: S,
  options: { lease?: Lease; signal?: AbortSignal } = {},
): Promise<Manifest<S>> {
  const before = await readManifest(store, identity)
  if (before !== undefined && !before.quarantined) return before.manifest as Manifest<S>
  const { stage, version, digest, attempt, inputs, settings } = identity
  const prefix = attemptPrefix(identity, attempt)
  const files = await storeFiles(store, prefix, await filesBelow(folder), options.signal)
  const manifest: Manifest<S> = { stage, version, digest, attempt, inputs, settings, files, summary }
  await options.lease?.check()
  const condition: WriteCondition =
    before === undefined ? { kind: 'absent' } : { kind: 'matches', etag: before.etag }
  try {
    await store.write(manifestKey(identity), jsonText(manifest), condition)
    return manifest
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const winner = await findArtifact<S>(store, identity)
    if (winner === undefined) throw error
    if (winner.attempt !== attempt) for (const { key } of files) await store.remove(key)
    return winner
  }
}

/**
 * A local folder with the artifact's files, to be read only. A file:// store's own folder, sizes checked; from elsewhere the files
 * are fetched into `cacheDir` once, SHA-256 checked. CorruptError where a file is not what the manifest says.
 */
export async function openArtifact(
  store: Store,
  manifest: Manifest,
  cacheDir: string,
): Promise<{ dir: string }> {
  const { stage, digest, attempt, files } = manifest
  const prefix = attemptPrefix(manifest, attempt)
  const inPlace = store.localPath(prefix)
  if (inPlace !== undefined) {
    await checkSizes(store, files)
    return { dir: inPlace }
  }
  const dir = path.join(cacheDir, stage, digest, attempt)
  await makeFolder(dir)
  await fetchFiles(store, files, dir)
  return { dir }
}

/**
 * Sets a corrupt artifact aside: from now on it counts as absent, and the stage makes it again. Its files stay for whoever looks
 * into the matter. Nothing happens where another attempt's manifest has replaced it already.
 */
export async function quarantineArtifact(store: Store, manifest: Manifest, reason: string): Promise<void> {
  const found = await readManifest(store, manifest)
  if (found === undefined || found.quarantined || found.manifest.attempt !== manifest.attempt) return
  const text = jsonText({ ...found.manifest, quarantined: reason })
  try {
    await store.write(manifestKey(manifest), text, { kind: 'matches', etag: found.etag })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error // Somebody else has set it aside.
  }
}

async function readManifest(
  store: Store,
  ref: ArtifactRef,
): Promise<{ manifest: Manifest; etag: string; quarantined: boolean } | undefined> {
  const found = await readJson(store, manifestKey(ref), manifestSchema)
  if (found === undefined) return undefined
  const { quarantined, ...manifest } = found.value
  const prefix = `${attemptPrefix(ref, manifest.attempt)}/`
  const stray = manifest.files.find(({ key, name }) => key !== prefix + name)
  if (stray !== undefined || manifest.stage !== ref.stage || manifest.digest !== ref.digest) {
    throw new CorruptError(`${manifestKey(ref)} in ${store.uri} is the manifest of something else`)
  }
  return { manifest, etag: found.etag, quarantined: quarantined !== undefined }
}

const manifestKey = ({ stage, digest }: ArtifactRef) => checkKey(`artifacts/${stage}/${digest}/manifest.json`)
const attemptPrefix = ({ stage, digest }: ArtifactRef, attempt: string) =>
  checkKey(`artifacts/${stage}/${digest}/${attempt}`)
