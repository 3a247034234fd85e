import { randomBytes } from 'node:crypto'
import { constants, copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import path from 'node:path'
import { InputError } from '../errors.ts'
import { isMissing, isThere } from './file-errors.ts'

/** What has to be on disk before we say that it is written: a file's bytes, and the folder that holds its name. */

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** How often a folder may vanish between its making and its use: whoever tidies empty folders does it once. */
const MAX_VANISHED = 8

/**
 * Makes a folder and those above it, each durable in its parent. Not with mkdir's `recursive`: in a file system that makes no
 * folders (/proc) Node 24 never comes back from it.
 */
export async function makeFolder(folder: string): Promise<void> {
  const parent = path.dirname(folder)
  for (let tries = 0; tries < MAX_VANISHED; tries++) {
    if (await makeOne(folder)) return
    // Where the parent is there by now, another process has just made it.
    if (!(await isFolder(parent))) await makeFolder(parent)
  }
  throw new InputError(`no folder can be made in ${parent}; choose another place`)
}

/** False where the folder's parent is missing (or takes no folders). A file of that name shows itself in the next step. */
async function makeOne(folder: string): Promise<boolean> {
  try {
    await mkdir(folder)
    await syncFolder(path.dirname(folder))
    return true
  } catch (error) {
    if (isThere(error)) return true
    if (isMissing(error)) return false
    throw error
  }
}

async function isFolder(name: string): Promise<boolean> {
  try {
    return (await stat(name)).isDirectory()
  } catch (error) {
    if (isMissing(error)) return false
    throw error
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
