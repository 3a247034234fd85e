import { createReadStream } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { link, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Readable } from 'node:stream'
import { ConflictError, CorruptError, TransientError } from '../errors.ts'
import {
  copyDurably,
  copyIntoPlace,
  inFolder,
  makeFolder,
  syncFolder,
  writeDurably,
} from './durable-files.ts'
import { fileError, isMissing, isThere } from './file-errors.ts'
import { locate, registerFolder, swap, versionOf } from './file-register.ts'
import type { Location, Version } from './file-register.ts'
import { checkKey, checkPrefix, keyFault } from './key.ts'
import { MAX_READ } from './store.ts'
import type { Store, StoredObject, WriteCondition } from './store.ts'
import { temporaryFiles } from './temporary-files.ts'

/** How often a generation may be pruned between finding and opening it; each time sixteen others were written. */
const MAX_LOOKS = 100

/** A store in a local folder. Objects are plain files that other programs can read; see docs/store-layout.md. */
export async function openFileStore(root: string): Promise<Store> {
  const temporary = temporaryFiles(root)
  const guarded = async <T>(doing: string, work: () => Promise<T>, folder = root): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw await fileError(error, doing, folder)
    }
  }
  await guarded('opening it', async () => {
    await makeFolder(temporary.folder)
    await temporary.sweep()
  })
  const fileOf = (key: string) => path.join(root, ...checkKey(key).split('/'))

  /** The object's file, opened: what is read through the handle is one generation, whatever others write meanwhile. */
  async function openObject(file: string): Promise<{ handle: FileHandle; location: Location } | undefined> {
    for (let look = 0; look < MAX_LOOKS; look++) {
      const location = await locate(file)
      try {
        return { handle: await open(location.path, 'r'), location }
      } catch (error) {
        if (!isMissing(error)) throw error
        if (!location.swapped) return undefined
      }
    }
    throw new TransientError(`${file} changes faster than it can be read`)
  }

  async function describe(key: string, { handle, location }: { handle: FileHandle; location: Location }) {
    const stats = await handle.stat({ bigint: true })
    if (!stats.isFile()) return undefined
    return { key, ...versionOf(location.generation, stats) }
  }

  async function head(key: string): Promise<StoredObject | undefined> {
    const opened = await openObject(fileOf(key))
    if (opened === undefined) return undefined
    try {
      return await describe(key, opened)
    } finally {
      await opened.handle.close()
    }
  }

  async function present(key: string): Promise<void> {
    if ((await head(key)) === undefined) throw new CorruptError(`the store ${root} has no object ${key}`)
  }

  /** Makes a temporary file and gives it its name; whatever happens, the temporary name is gone afterwards. */
  async function place(
    file: string,
    make: (fresh: string) => Promise<BigIntStats>,
    name: (fresh: string) => Promise<void>,
  ): Promise<Version> {
    const fresh = temporary.next()
    try {
      const stats = await make(fresh)
      await inFolder(path.dirname(file), () => name(fresh))
      await syncFolder(path.dirname(file))
      return versionOf(1, stats)
    } catch (error) {
      throw isThere(error) ? new ConflictError(`${path.basename(file)} is there already`) : error
    } finally {
      await rm(fresh, { force: true })
    }
  }

  async function overwrite(key: string, bytes: Uint8Array | string): Promise<Version> {
    const file = fileOf(key)
    for (;;) {
      const seen = await head(key)
      if (seen === undefined || !(await locate(file)).swapped) break
      try {
        return await swap(file, bytes, seen.etag, temporary)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error // Somebody else was faster; this write comes after theirs.
      }
    }
    return place(
      file,
      (fresh) => writeDurably(fresh, bytes),
      (fresh) => rename(fresh, file),
    )
  }

  async function write(
    key: string,
    bytes: Uint8Array | string,
    condition: WriteCondition,
  ): Promise<StoredObject> {
    const file = fileOf(key)
    switch (condition.kind) {
      case 'absent':
        return {
          key,
          ...(await place(
            file,
            (fresh) => writeDurably(fresh, bytes),
            (fresh) => link(fresh, file),
          )),
        }
      case 'overwrite':
        return { key, ...(await overwrite(key, bytes)) }
      case 'matches':
        return { key, ...(await swap(file, bytes, condition.etag, temporary)) }
    }
  }

  async function upload(key: string, localPath: string, signal?: AbortSignal): Promise<StoredObject> {
    signal?.throwIfAborted()
    const file = fileOf(key)
    const copy = async (fresh: string) => {
      const stats = await copyDurably(localPath, fresh)
      signal?.throwIfAborted()
      return stats
    }
    return { key, ...(await place(file, copy, (fresh) => rename(fresh, file))) }
  }

  async function remove(key: string): Promise<void> {
    if ((await head(key)) === undefined) return
    const file = fileOf(key)
    const doomed = temporary.next()
    try {
      await rename(registerFolder(file), doomed)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    await rm(doomed, { recursive: true, force: true })
    await rm(file, { force: true })
    await tidy(path.dirname(file))
  }

  /** Removes folders that have become empty, up to the root: in S3 a folder without objects does not exist either. */
  async function tidy(folder: string): Promise<void> {
    let left = folder
    try {
      for (; left.length > root.length; left = path.dirname(left)) await rmdir(left)
    } catch {
      // Not empty, or another process tidied it.
    }
    await syncFolder(left).catch((error: unknown) => {
      if (!isMissing(error)) throw error
    })
  }

  async function* list(prefix: string): AsyncIterable<StoredObject> {
    checkPrefix(prefix)
    const from = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    for await (const key of keysBelow(root, from)) {
      if (!key.startsWith(prefix)) continue
      const object = await head(key)
      if (object !== undefined) yield object
    }
  }

  return {
    uri: pathToFileURL(root).href,
    head: (key) => guarded(`looking for ${key}`, () => head(key)),
    read: (key) =>
      guarded(`reading ${key}`, async () => {
        const opened = await openObject(fileOf(key))
        if (opened === undefined) return undefined
        try {
          const object = await describe(key, opened)
          if (object === undefined) return undefined
          if (object.size > MAX_READ)
            throw new CorruptError(`${key} has ${object.size} bytes, too many for a small object`)
          return { bytes: new Uint8Array(await opened.handle.readFile()), etag: object.etag }
        } finally {
          await opened.handle.close()
        }
      }),
    write: (key, bytes, condition) => guarded(`writing ${key}`, () => write(key, bytes, condition)),
    upload: (key, localPath, options) =>
      guarded(`writing ${key}`, () => upload(key, localPath, options?.signal)),
    download: (key, localPath) =>
      guarded(
        `copying ${key}`,
        async () => {
          await present(key)
          await makeFolder(path.dirname(localPath))
          const { path: source } = await locate(fileOf(key))
          await copyIntoPlace(source, localPath)
        },
        path.dirname(localPath),
      ),
    stream: (key) =>
      guarded(`reading ${key}`, async (): Promise<Readable> => {
        await present(key)
        return createReadStream((await locate(fileOf(key))).path)
      }),
    list,
    remove: (key) => guarded(`removing ${key}`, () => remove(key)),
    localPath: fileOf,
  }
}

/** Keys of all plain files below a folder. Registers show through their plain file. */
async function* keysBelow(root: string, prefix: string): AsyncIterable<string> {
  const entries = await readdir(path.join(root, prefix), { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  for (const entry of entries) {
    const key = prefix + entry.name
    if (keyFault(key) !== undefined) continue // A register's generations and the temporary files.
    if (entry.isDirectory()) yield* keysBelow(root, `${key}/`)
    else if (entry.isFile()) yield key
  }
}
