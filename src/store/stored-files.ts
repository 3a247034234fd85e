import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { CorruptError, InputError } from '../errors.ts'
import { fileError, isMissing } from './file-errors.ts'
import { keyFault } from './key.ts'
import type { Store } from './store.ts'

/** A file on this machine that is to be stored. `name` is its path below the artifact, with slashes. */
export interface LocalFile {
  name: string
  path: string
}

/** A stored file as a manifest records it. */
export interface FileEntry {
  name: string
  key: string
  size: number
  sha256: string
}

export const SHA256 = /^[0-9a-f]{64}$/

/** A manifest comes from a store that others write, too: no name in it may reach outside the folder that it is put into. */
export const fileEntrySchema = z.strictObject({
  name: z.string().refine((name) => keyFault(name) === undefined, 'is no safe file name'),
  key: z.string().refine((key) => keyFault(key) === undefined, 'is no key'),
  size: z.int().min(0),
  sha256: z.string().regex(SHA256),
})

/** All files below a folder, by name. Links are refused: they could pull in a file from anywhere (CWE-59). */
export async function filesBelow(folder: string, above = ''): Promise<LocalFile[]> {
  const entries = await readdir(path.join(folder, above), { withFileTypes: true })
  const files: LocalFile[] = []
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = above === '' ? entry.name : `${above}/${entry.name}`
    const fault = keyFault(name)
    if (fault !== undefined) throw new InputError(`the file name ${JSON.stringify(name)} ${fault}; rename it`)
    if (entry.isDirectory()) files.push(...(await filesBelow(folder, name)))
    else if (entry.isFile()) files.push({ name, path: path.join(folder, name) })
    else throw new InputError(`${name} is a link or a device; only plain files are stored`)
  }
  return files
}

/** Uploads files under `prefix` and returns their entries. Each is hashed as it is on disk before it is sent. */
export async function storeFiles(
  store: Store,
  prefix: string,
  files: readonly LocalFile[],
  signal?: AbortSignal,
): Promise<FileEntry[]> {
  const entries: FileEntry[] = []
  for (const { name, path: local } of files) {
    signal?.throwIfAborted()
    const key = `${prefix}/${name}`
    const sha256 = await sha256OfFile(local)
    const { size } = await store.upload(key, local, signal === undefined ? {} : { signal })
    entries.push({ name, key, size, sha256 })
  }
  return entries
}

/** Name and SHA-256 of local files. */
export async function hashFiles(files: readonly LocalFile[]): Promise<{ name: string; sha256: string }[]> {
  const hashes: { name: string; sha256: string }[] = []
  for (const { name, path: local } of files) hashes.push({ name, sha256: await sha256OfFile(local) })
  return hashes
}

/** CorruptError unless every file is there with its size. */
export async function checkSizes(store: Store, entries: readonly FileEntry[]): Promise<void> {
  for (const { key, size } of entries) {
    const object = await store.head(key)
    if (object === undefined) throw new CorruptError(`${key} is missing in ${store.uri}`)
    if (object.size !== size) throw corrupt(store, key, `it has ${object.size} bytes instead of ${size}`)
  }
}

/** CorruptError unless the local file has the entry's bytes. */
export async function checkBytes(store: Store, entry: FileEntry, local: string): Promise<void> {
  const sha256 = await sha256OfFile(local)
  if (sha256 !== entry.sha256)
    throw corrupt(store, entry.key, `its SHA-256 is ${sha256} instead of ${entry.sha256}`)
}

/** Puts the files under their names below `folder`, verified; one that is there with the right bytes is not fetched again. */
export async function fetchFiles(store: Store, entries: readonly FileEntry[], folder: string): Promise<void> {
  for (const entry of entries) {
    const target = path.join(folder, ...entry.name.split('/'))
    if ((await sizeOf(target)) === entry.size && (await sha256OfFile(target)) === entry.sha256) continue
    const unchecked = `${target}.${entry.sha256.slice(0, 8)}.${randomBytes(6).toString('hex')}.unchecked`
    try {
      await store.download(entry.key, unchecked)
      await checkBytes(store, entry, unchecked)
      await rename(unchecked, target)
    } finally {
      await rm(unchecked, { force: true })
    }
  }
}

/** SHA-256 in hexadecimal. */
async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }))
      hash.update(chunk as Buffer)
  } catch (error) {
    throw await fileError(error, `reading ${file}`, path.dirname(file))
  }
  return hash.digest('hex')
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const corrupt = (store: Store, key: string, how: string) =>
  new CorruptError(`${key} in ${store.uri} is corrupt: ${how}`)
