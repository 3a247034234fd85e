import { join } from 'node:path'
import { z } from 'zod'
import { ConflictError, CorruptError } from '../errors.ts'
import { jsonText, readJson } from '../store/json-object.ts'
import { checkKey } from '../store/key.ts'
import type { Store } from '../store/store.ts'
import { type FileEntry, SHA256, fetchFiles, fileEntrySchema } from '../store/stored-files.ts'
import { type FileDigest, digestOfFiles } from './model-files.ts'

const manifestSchema = z.strictObject({
  source: z.string(),
  revision: z.string().optional(),
  files: z.array(fileEntrySchema),
})

/** The files of a base model that the store has, by the model's digest; undefined where it has not. */
export async function findStoredModel(store: Store, digest: string): Promise<FileEntry[] | undefined> {
  const found = await readJson(store, manifestKey(digest), manifestSchema)
  if (found === undefined) return undefined
  const { files } = found.value
  if (digestOfFiles(files) !== digest || files.some(({ key, sha256 }) => key !== fileKey(sha256)))
    throw new CorruptError(`${manifestKey(digest)} in ${store.uri} is the manifest of something else`)
  return files
}

/**
 * Copies a base model into the store, once for all jobs and machines. A file lies under its own digest: what an interrupted copy has
 * brought is not sent again, and models that share a file share it. The manifest comes last and never changes.
 */
export async function storeModel(
  store: Store,
  model: { source: string; revision?: string; digest: string; path: string; files: readonly FileDigest[] },
  signal?: AbortSignal,
): Promise<void> {
  const { source, revision, digest, path, files } = model
  if ((await findStoredModel(store, digest)) !== undefined) return
  const entries = files.map(({ name, size, sha256 }) => ({ name, key: fileKey(sha256), size, sha256 }))
  for (const { name, key, size } of entries) {
    signal?.throwIfAborted()
    // An upload becomes visible whole or not at all.
    if ((await store.head(key))?.size === size) continue
    await store.upload(key, join(path, name), signal === undefined ? {} : { signal })
  }
  const manifest = { source, ...(revision !== undefined && { revision }), files: entries }
  try {
    await store.write(manifestKey(digest), jsonText(manifest), { kind: 'absent' })
  } catch (error) {
    // Another job has copied the same.
    if (!(error instanceof ConflictError)) throw error
  }
}

/** Brings a stored model into a folder, every file checked against its digest. */
export async function fetchStoredModel(
  store: Store,
  files: readonly FileEntry[],
  folder: string,
): Promise<FileDigest[]> {
  await fetchFiles(store, files, folder)
  return files.map(({ name, size, sha256 }) => ({ name, size, sha256 }))
}

const manifestKey = (digest: string) => {
  if (!SHA256.test(digest)) throw new Error(`no digest: ${digest}`)
  return checkKey(`base-models/${digest}/manifest.json`)
}
const fileKey = (sha256: string) => checkKey(`base-models/files/${sha256}`)
