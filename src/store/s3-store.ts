import {
  DeleteObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { ConflictError, CorruptError, InputError, TransientError } from '../errors.ts'
import { makeFolder, syncFolder } from './durable-files.ts'
import { fileError } from './file-errors.ts'
import { checkKey, checkPrefix, keyFault } from './key.ts'
import { openS3Object } from './s3-body.ts'
import { s3Client } from './s3-client.ts'
import type { S3Options } from './s3-client.ts'
import { s3Encryption } from './s3-encryption.ts'
import { isNoSuchKey, isNoSuchUpload, isWriteCollision, mayHaveHappened, s3Error } from './s3-errors.ts'
import { MAX_READ } from './store.ts'
import type { Store, StoredObject, WriteCondition } from './store.ts'

/** S3's names of buckets; anything else would reach another place of the URL. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
/** A part is held in memory while it is sent; S3 takes at most 10,000, so lib-storage enlarges it for files above 160 GB. */
const PART_BYTES = 16 * 1024 * 1024
const PARTS_AT_ONCE = 4
/** Whole uploads begun again after the SDK's own retries of a part are spent. */
const MAX_UPLOADS = 3
/** Colliding conditional writes settle within one or two rounds; each round at least one writer gets through. */
const MAX_COLLISIONS = 20
const COLLISION_PAUSE_MILLISECONDS = 50

/** A store in a bucket of any S3-compatible server that honours conditional writes (probeStore finds out). */
export function openS3Store(bucket: string, prefix: string, options: S3Options = {}): Store {
  if (!BUCKET.test(bucket))
    throw new InputError(`${JSON.stringify(bucket)} is no bucket's name; write s3://bucket/prefix`)
  if (prefix !== '') checkKey(prefix)
  const { client, endpoint } = s3Client(options)
  const encryption = s3Encryption(process.env)
  const base = prefix === '' ? '' : `${prefix}/`
  const named = (key: string) => ({ Bucket: bucket, Key: base + checkKey(key) })
  const failure = (error: unknown, doing: string) => s3Error(error, doing, { bucket, endpoint })
  const guarded = async <T>(doing: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw failure(error, doing)
    }
  }

  async function* explained<T>(items: AsyncIterable<T>, doing: string): AsyncIterable<T> {
    try {
      yield* items
    } catch (error) {
      throw failure(error, doing)
    }
  }

  async function head(key: string): Promise<StoredObject | undefined> {
    try {
      const { ContentLength, ETag } = await client.send(new HeadObjectCommand(named(key)))
      return { key, size: ContentLength ?? 0, etag: ETag ?? '' }
    } catch (error) {
      if (isNoSuchKey(error)) return undefined
      throw error
    }
  }

  async function read(key: string): Promise<{ bytes: Uint8Array; etag: string } | undefined> {
    try {
      const { size, etag, chunks } = await openS3Object(client, bucket, named(key).Key)
      if (size > MAX_READ) throw new CorruptError(`${key} has ${size} bytes, too many for a small object`)
      const parts: Uint8Array[] = []
      for await (const chunk of chunks) parts.push(chunk)
      return { bytes: new Uint8Array(Buffer.concat(parts)), etag }
    } catch (error) {
      if (isNoSuchKey(error)) return undefined
      throw error
    }
  }

  async function write(
    key: string,
    text: Uint8Array | string,
    condition: WriteCondition,
  ): Promise<StoredObject> {
    const bytes = Buffer.from(text)
    const request = { ...named(key), ...encryption, Body: bytes, ...conditionHeaders(condition) }
    for (let collisions = 0; ;) {
      try {
        const { ETag } = await client.send(new PutObjectCommand(request))
        return { key, size: bytes.length, etag: ETag ?? '' }
      } catch (error) {
        if (isWriteCollision(error) && ++collisions <= MAX_COLLISIONS) {
          await pause(Math.random() * COLLISION_PAUSE_MILLISECONDS * collisions)
          continue
        }
        if (mayHaveHappened(error)) {
          // The answer to an executed write was lost: what is there now tells.
          const there = await read(key)
          if (there !== undefined && bytes.equals(there.bytes))
            return { key, size: bytes.length, etag: there.etag }
        }
        if (isNoSuchKey(error)) throw new ConflictError(`${key} is no longer there`, { cause: error })
        throw error
      }
    }
  }

  async function upload(key: string, localPath: string, signal?: AbortSignal): Promise<StoredObject> {
    const { size } = await stat(localPath)
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted()
      const parts = new Upload({
        client,
        params: {
          ...named(key),
          ...encryption,
          Body: createReadStream(localPath, { highWaterMark: 1024 * 1024 }),
        },
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
        leavePartsOnError: false,
      })
      const abort = () => void parts.abort()
      signal?.addEventListener('abort', abort, { once: true })
      try {
        await parts.done()
        break
      } catch (error) {
        const again = isNoSuchUpload(error) || failure(error, '') instanceof TransientError
        if (signal?.aborted === true || !again || tries === MAX_UPLOADS) throw error
      } finally {
        signal?.removeEventListener('abort', abort)
      }
    }
    const object = await head(key)
    if (object?.size !== size)
      throw new TransientError(`${key} has ${object?.size ?? 'no'} bytes after an upload of ${size}`)
    return object
  }

  async function download(key: string, localPath: string): Promise<void> {
    const { chunks } = await openS3Object(client, bucket, named(key).Key)
    const folder = path.dirname(localPath)
    const temporary = `${localPath}.${randomBytes(6).toString('hex')}.part`
    const onDisk = async <T>(work: () => Promise<T>): Promise<T> => {
      try {
        return await work()
      } catch (error) {
        throw await fileError(error, `copying ${key}`, folder)
      }
    }
    try {
      const file = await onDisk(async () => {
        await makeFolder(folder)
        return open(temporary, 'wx')
      })
      try {
        for await (const chunk of chunks) await onDisk(() => file.writeFile(chunk))
        await onDisk(() => file.sync())
      } finally {
        await file.close()
      }
      await onDisk(async () => {
        await rename(temporary, localPath)
        await syncFolder(folder)
      })
    } finally {
      await rm(temporary, { force: true })
    }
  }

  async function* list(wanted: string): AsyncIterable<StoredObject> {
    const pages = paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: base + checkPrefix(wanted) })
    for await (const page of explained(pages, `listing ${wanted}`)) {
      for (const { Key, Size, ETag } of page.Contents ?? []) {
        const key = (Key ?? '').slice(base.length)
        // What others put into the bucket under names that we would never write is not ours to show.
        if (keyFault(key) === undefined) yield { key, size: Size ?? 0, etag: ETag ?? '' }
      }
    }
  }

  return {
    uri: `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`,
    head: (key) => guarded(`looking for ${key}`, () => head(key)),
    read: (key) => guarded(`reading ${key}`, () => read(key)),
    write: (key, bytes, condition) => guarded(`writing ${key}`, () => write(key, bytes, condition)),
    upload: (key, localPath, options) =>
      guarded(`writing ${key}`, () => upload(key, localPath, options?.signal)),
    download: (key, localPath) => guarded(`reading ${key}`, () => download(key, localPath)),
    stream: (key) =>
      guarded(`reading ${key}`, async () => {
        const { chunks } = await openS3Object(client, bucket, named(key).Key)
        return Readable.from(explained(chunks, `reading ${key}`), { objectMode: false })
      }),
    list,
    remove: (key) =>
      guarded(`removing ${key}`, async () => {
        await client.send(new DeleteObjectCommand(named(key)))
      }),
    localPath: () => undefined,
  }
}

function conditionHeaders(condition: WriteCondition): { IfNoneMatch?: string; IfMatch?: string } {
  switch (condition.kind) {
    case 'absent':
      return { IfNoneMatch: '*' }
    case 'matches':
      return { IfMatch: condition.etag }
    case 'overwrite':
      return {}
  }
}
