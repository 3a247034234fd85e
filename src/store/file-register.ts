import { link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import path from 'node:path'
import { ConflictError } from '../errors.ts'
import { syncFolder, writeDurably } from './durable-files.ts'
import { isMissing, isThere } from './file-errors.ts'
import type { TemporaryFiles } from './temporary-files.ts'

/**
 * Compare-and-swap on a file system without a lock and without a clock.
 *
 * An object is a plain file until it is first swapped. From then on it is a folder beside that file, `<file>~`, of generations
 * 1, 2, 3, …; the highest is the object. A generation is created by link(2), which fails where the name is taken: of many
 * writers who all saw generation N, one makes N+1. The plain file is then only a view of the newest for people and tools.
 *
 * Old generations are removed, but a few are kept, and always from the oldest up. That is how a writer that slept while its
 * N+1 came and went finds out: its link succeeds, but N is gone, so it withdraws.
 */

/** Generations kept behind the newest. More than one, so that a writer overtaken right after its link is seldom misled. */
const KEPT = 16

/** Where an object's bytes are. Generation 1 is also what a file is that was never swapped. */
export interface Location {
  path: string
  generation: number
  swapped: boolean
}

export const registerFolder = (file: string): string => `${file}~`

/** What a store says of the bytes under a name. */
export interface Version {
  size: number
  etag: string
}

/** The etag's generation guards against an inode that is used again within the clock's grain. */
export function versionOf(generation: number, { ino, mtimeNs, size }: BigIntStats): Version {
  const etag = [BigInt(generation), ino, mtimeNs, size].map((part) => part.toString(36)).join('-')
  return { size: Number(size), etag }
}

/** The newest generation in a register's folder, or undefined where there is no such folder. */
async function newest(folder: string): Promise<number | undefined> {
  try {
    const generations = (await readdir(folder)).filter((name) => /^[0-9]+$/.test(name)).map(Number)
    return generations.length === 0 ? undefined : Math.max(...generations)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Where the object of `file` is now. The path may be gone by the time it is opened: then ask again. */
export async function locate(file: string): Promise<Location> {
  const generation = await newest(registerFolder(file))
  if (generation === undefined) return { path: file, generation: 1, swapped: false }
  return { path: path.join(registerFolder(file), String(generation)), generation, swapped: true }
}

/** Replaces the object of `file` if it still has `etag`. ConflictError where it has not. */
export async function swap(
  file: string,
  bytes: Uint8Array | string,
  etag: string,
  temporary: TemporaryFiles,
): Promise<Version> {
  const folder = registerFolder(file)
  const seen = await locate(file)
  await expectEtag(seen, etag, file)
  if (!seen.swapped) {
    await promote(file, etag, temporary)
    return swap(file, bytes, etag, temporary)
  }
  const mine: Location = {
    path: path.join(folder, String(seen.generation + 1)),
    generation: seen.generation + 1,
    swapped: true,
  }
  const fresh = temporary.next()
  let stats: BigIntStats
  try {
    stats = await writeDurably(fresh, bytes)
    await linkGeneration(fresh, mine.path, file)
  } finally {
    await rm(fresh, { force: true })
  }
  await syncFolder(folder)
  if ((await newest(folder)) !== mine.generation) await withdrawIfOvertaken(file, seen, etag, mine)
  await refreshView(file, temporary)
  await prune(folder, mine.generation)
  return versionOf(mine.generation, stats)
}

/** Turns a plain file into a register whose generation 1 it is. The folder appears whole or not at all. */
async function promote(file: string, etag: string, temporary: TemporaryFiles): Promise<void> {
  const fresh = temporary.next()
  try {
    await mkdir(fresh)
    const first: Location = { path: path.join(fresh, '1'), generation: 1, swapped: false }
    await link(file, first.path)
    await expectEtag(first, etag, file)
    await syncFolder(fresh)
    await rename(fresh, registerFolder(file))
    await syncFolder(path.dirname(file))
  } catch (error) {
    // Another writer promoted it first: what it is now shows in the next look.
    if (!isThere(error)) throw isMissing(error) ? conflict(file) : error
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

async function linkGeneration(fresh: string, generation: string, file: string): Promise<void> {
  try {
    await link(fresh, generation)
  } catch (error) {
    if (isThere(error) || isMissing(error)) throw conflict(file)
    throw error
  }
}

/** Newer ones than mine exist. Where what I saw is still there, mine came in its turn; else its turn was long past. */
async function withdrawIfOvertaken(
  file: string,
  seen: Location,
  etag: string,
  mine: Location,
): Promise<void> {
  try {
    await expectEtag(seen, etag, file)
  } catch (error) {
    await rm(mine.path, { force: true })
    throw error
  }
}

/** Lets the plain file show the newest generation. Nothing reads it as the truth, so a kill in here harms nothing. */
async function refreshView(file: string, temporary: TemporaryFiles): Promise<void> {
  for (let shown = 0; ;) {
    const { path: current, generation } = await locate(file)
    if (generation === shown) return
    const fresh = temporary.next()
    try {
      await link(current, fresh)
      await rename(fresh, file)
      shown = generation
    } catch (error) {
      if (!isMissing(error)) throw error // Pruned meanwhile: look again.
    } finally {
      await rm(fresh, { force: true })
    }
  }
}

async function prune(folder: string, generation: number): Promise<void> {
  const old = (await readdir(folder)).map(Number).filter((number) => number <= generation - KEPT)
  old.sort((a, b) => a - b)
  for (const number of old) await rm(path.join(folder, String(number)), { force: true })
}

async function expectEtag(location: Location, etag: string, file: string): Promise<void> {
  try {
    const stats = await stat(location.path, { bigint: true })
    if (versionOf(location.generation, stats).etag === etag) return
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  throw conflict(file)
}

const conflict = (file: string) =>
  new ConflictError(`${path.basename(file)} is no longer what was read; another writer came first`)
