import { randomBytes } from 'node:crypto'
import { constants, copyFile, mkdir, open, rename, rm } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import path from 'node:path'
import { isMissing } from './file-errors.ts'

/** What has to be on disk before we say that it is written: a file's bytes, and the folder that holds its name. */

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a folder and those above it, each durable in its parent. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = path.dirname(made)) {
    await syncFolder(path.dirname(made))
  }
}

/** A new file with these bytes, on disk when this returns. Its stats stay the same under every other name that it is given. */
export async function writeDurably(file: string, bytes: Uint8Array | string): Promise<BigIntStats> {
  const handle = await open(file, 'wx')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
    return await handle.stat({ bigint: true })
  } finally {
    await handle.close()
  }
}

/** A copy on disk when this returns; file systems that can (btrfs, xfs, APFS) share the blocks until one side changes. */
export async function copyDurably(source: string, target: string): Promise<BigIntStats> {
  await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  const handle = await open(target, 'r+')
  try {
    await handle.sync()
    return await handle.stat({ bigint: true })
  } finally {
    await handle.close()
  }
}

/** Copies to a local file through a temporary name beside it: whoever looks sees nothing or the whole. */
export async function copyIntoPlace(source: string, target: string): Promise<void> {
  const temporary = `${target}.${randomBytes(6).toString('hex')}.part`
  try {
    await copyDurably(source, temporary)
    await rename(temporary, target)
    await syncFolder(path.dirname(target))
  } finally {
    await rm(temporary, { force: true })
  }
}

/** How often a folder may vanish between its making and its use: whoever tidies empty folders does it once. */
const MAX_VANISHED = 8

/** Does `place` in a folder that is made first, again where somebody tidied the empty folder away in between. */
export async function inFolder<T>(folder: string, place: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    await makeFolder(folder)
    try {
      return await place()
    } catch (error) {
      if (!isMissing(error) || tries === MAX_VANISHED) throw error
    }
  }
}
