import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { InputError } from '../errors.ts'
import { openStore } from '../store/open-store.ts'

/** One file of a source as it is now. */
export interface SourceObject {
  /** Full path or address: also the name under which its rows are known. */
  name: string
  size: number
  /** Differs where the bytes differ: the ETag of an S3 object, the SHA-256 of a file. */
  identity: string
  /** A local file with its bytes; fetched into `folder` where it lies elsewhere. */
  fetch(folder: string): Promise<string>
}

/**
 * Everything that the sources hold now, in the order of their names. InputError where a source is not there or may not be read,
 * TransientError where its server does not answer.
 */
export async function observeSources(sources: readonly string[]): Promise<SourceObject[]> {
  const objects: SourceObject[] = []
  for (const source of sources) {
    const found = source.startsWith('s3://') ? await bucketObjects(source) : await localObjects(source)
    if (found.length === 0) throw new InputError(`${source}: holds no file; check spec.fineTune.data.train.`)
    objects.push(...found)
  }
  const byName = new Map(objects.map((object) => [object.name, object]))
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function bucketObjects(source: string): Promise<SourceObject[]> {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]+)\/(.*)$/.exec(source) ?? []
  const store = await openStore(`s3://${bucket}`)
  const objectOf = (found: { key: string; size: number; etag: string }): SourceObject => ({
    name: `s3://${bucket}/${found.key}`,
    size: found.size,
    identity: found.etag,
    fetch: async (folder) => {
      const file = path.join(folder, path.basename(found.key))
      await store.download(found.key, file)
      return file
    },
  })
  const objects: SourceObject[] = []
  if (key === '' || key.endsWith('/')) {
    // A key that ends with a slash is how some tools draw a folder: no rows are in it.
    for await (const found of store.list(key))
      if (!found.key.endsWith('/') && holdsRows(found.key.slice(key.length))) objects.push(objectOf(found))
    return objects
  }
  const found = await store.head(key)
  if (found === undefined) {
    throw new InputError(`${source}: there is no such object; check spec.fineTune.data.train.`)
  }
  return [objectOf(found)]
}

async function localObjects(source: string): Promise<SourceObject[]> {
  try {
    const isFolder = (await stat(source)).isDirectory()
    const files = isFolder
      ? (await readdir(source, { withFileTypes: true, recursive: true }))
          .filter((entry) => entry.isFile())
          .map((entry) => path.join(entry.parentPath, entry.name))
          .filter((file) => holdsRows(path.relative(source, file)))
      : [source]
    const objects: SourceObject[] = []
    for (const file of files) objects.push(await localObject(file))
    return objects
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'is not there' : `cannot be read (${code ?? String(error)})`
    throw new InputError(`${source}: ${why}; check spec.fineTune.data.train.`, { cause: error })
  }
}

/** Beside the rows of a table Hadoop and Spark write markers and indexes: `_SUCCESS`, `_metadata`, `.part-0.parquet.crc`. */
function holdsRows(place: string): boolean {
  return !place.split('/').some((part) => part.startsWith('_') || part.startsWith('.'))
}

async function localObject(file: string): Promise<SourceObject> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  const { size } = await stat(file)
  return { name: file, size, identity: hash.digest('hex'), fetch: () => Promise.resolve(file) }
}
