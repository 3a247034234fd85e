import { createHash } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { CorruptError, InputError, TransientError } from '../errors.ts'
import { hashFile, type FileDigest } from './model-files.ts'
import type { HubFile, ModelHub } from './model-hub.ts'

/** Tries in a row that bring no byte; then whoever called decides when to go on. */
const MAX_FRUITLESS_TRIES = 4
const FIRST_PAUSE_MILLISECONDS = 250

/**
 * One file of a revision to `path`: resumed where an earlier try was cut off, checked against the hub's digest, fsynced, and only
 * then given its name. Bytes are written at their own positions, so two processes that fetch the same file write the same.
 * TransientError where the connection keeps failing (what came stays for the next try), CorruptError where the hub's bytes are
 * not those that it announced, InputError where the disk is full.
 */
export async function downloadFile(
  hub: ModelHub,
  revision: string,
  file: HubFile,
  path: string,
  progress: (received: number) => void,
): Promise<FileDigest> {
  const part = `${path}.part`
  const there = await verified(path, file, hub.signal)
  if (there) return there
  const resumed = (await sizeOf(part)) > 0
  await receive(hub, revision, file, part, progress)
  let digest = await verified(part, file, hub.signal)
  if (!digest && resumed) {
    // What an earlier try had left may be the damaged piece: once more, from the first byte.
    await rm(part)
    await receive(hub, revision, file, part, progress)
    digest = await verified(part, file, hub.signal)
  }
  if (!digest) {
    await rm(part)
    throw new CorruptError(
      `${file.name}: its bytes are not those that the hub announced; they were thrown away, try again`,
    )
  }
  await rename(part, path)
  return digest
}

async function receive(
  hub: ModelHub,
  revision: string,
  file: HubFile,
  part: string,
  progress: (received: number) => void,
): Promise<void> {
  const handle = await open(part, constants.O_RDWR | constants.O_CREAT)
  try {
    let received = (await handle.stat()).size
    if (received > file.size) {
      await handle.truncate(0)
      received = 0
    }
    let fruitless = 0
    while (received < file.size) {
      const before = received
      try {
        const { body, start } = await hub.body(revision, file, received)
        let position = start
        for await (const chunk of body as AsyncIterable<Buffer>) {
          await handle.write(chunk, 0, chunk.length, position)
          position += chunk.length
          received = Math.max(received, position)
          progress(Math.min(received, file.size))
          if (position > file.size) break // more than announced: the digest refuses it
        }
        if (position < file.size)
          throw new TransientError(`the connection ended at byte ${position} of ${file.size}`)
      } catch (cause) {
        hub.signal?.throwIfAborted()
        if (isFull(cause))
          throw new InputError(`${part}: the disk is full; make room and run again`, { cause })
        if (cause instanceof InputError) throw cause
        fruitless = received > before ? 0 : fruitless + 1
        if (fruitless >= MAX_FRUITLESS_TRIES) {
          const why = cause instanceof Error ? cause.message : String(cause)
          throw new TransientError(`${file.name} cannot be fetched: ${why}`, { cause })
        }
        await wait(FIRST_PAUSE_MILLISECONDS * 2 ** fruitless, undefined, { signal: hub.signal })
      }
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The file's digest where its bytes are those that the hub announced. */
async function verified(
  path: string,
  file: HubFile,
  signal: AbortSignal | undefined,
): Promise<FileDigest | undefined> {
  const { name, size, digest } = file
  if ((await sizeOf(path)) !== size || (size === 0 && !existsSync(path))) return undefined
  const sha256 = await hashFile(path, createHash('sha256'), signal)
  const actual =
    digest.kind === 'sha256'
      ? sha256
      : await hashFile(path, createHash('sha1').update(`blob ${size}\0`), signal)
  return actual === digest.value ? { name, size, sha256 } : undefined
}

async function sizeOf(path: string): Promise<number> {
  return existsSync(path) ? (await stat(path)).size : 0
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')
}
