import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readJsonFile } from '../formats/json-file.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import { withFolderLock } from './folder-lock.ts'
import { type FileDigest, hashFile } from './model-files.ts'

/** Base models of this machine, shared by all its workers: on a cluster, by the pods of a node where the volume is the node's. */
export interface ModelCache {
  dir: string
  /** Models that were not used for longest make room. Without it nothing is removed. */
  maxBytes?: number
}

/** Written last into a model's folder: it is whole. Its time is when the model was last used. */
const COMPLETE = 'complete.json'
/** A model that was used so lately may be about to be opened: it stays, even where the limit is passed. */
const IN_USE_MILLISECONDS = 15 * 60_000

/** What was true of the files when they were last checked. */
interface Checked extends FileDigest {
  mtimeMs?: number
}

/** The folder of a model in the cache. `id` stands for the same bytes for ever. */
export function modelFolder({ dir }: ModelCache, name: string, id: string): string {
  return join(dir, `models--${name.replace('/', '--')}`, id)
}

/**
 * The model's folder, filled where it is not. Of many that want it at once, one fills it and the others wait. What is there is taken by size
 * and time of its files; where those have changed, by their digests.
 */
export async function cachedModel(
  cache: ModelCache,
  path: string,
  signal: AbortSignal | undefined,
  fill: (folder: string, makeRoom: (bytes: number) => void) => Promise<FileDigest[]>,
): Promise<FileDigest[]> {
  const known = wholeFiles(path)
  if (known) return use(path, known)
  await mkdir(path, { recursive: true })
  return withFolderLock(`${path}.lock`, signal, async () => {
    const checked = wholeFiles(path) ?? (await recheck(path, signal))
    if (checked) return use(path, checked)
    await mkdir(path, { recursive: true })
    const files = await fill(path, (bytes) => evict(cache, path, bytes))
    await complete(path, files)
    return files
  })
}

/** Where size and time of each file are as they were. */
function wholeFiles(path: string): FileDigest[] | undefined {
  return filesOf(path)?.every(({ name, size, mtimeMs }) => {
    const stat = statSync(join(path, name), { throwIfNoEntry: false })
    return stat?.size === size && stat.mtimeMs === mtimeMs
  })
    ? filesOf(path)?.map(plain)
    : undefined
}

async function recheck(path: string, signal: AbortSignal | undefined): Promise<FileDigest[] | undefined> {
  const files = filesOf(path)?.map(plain)
  if (files === undefined) return undefined
  for (const { name, size, sha256 } of files) {
    const file = join(path, name)
    if (statSync(file, { throwIfNoEntry: false })?.size !== size) return undefined
    if ((await hashFile(file, createHash('sha256'), signal)) === sha256) continue
    // What is filled in next would take it for its own.
    rmSync(file)
    return undefined
  }
  await complete(path, files)
  return files
}

function filesOf(path: string): Checked[] | undefined {
  const file = join(path, COMPLETE)
  return existsSync(file) ? (readJsonFile(file).files as Checked[]) : undefined // written by this file alone
}

async function complete(path: string, files: readonly FileDigest[]): Promise<void> {
  const checked = files.map((file) => ({ ...file, mtimeMs: statSync(join(path, file.name)).mtimeMs }))
  await writeOutputFile(join(path, COMPLETE), [Buffer.from(JSON.stringify({ files: checked }))])
}

const plain = ({ name, size, sha256 }: Checked): FileDigest => ({ name, size, sha256 })

function use(path: string, files: FileDigest[]): FileDigest[] {
  const now = new Date()
  utimesSync(join(path, COMPLETE), now, now)
  return files
}

/** Removes the models that were not used for longest, until `bytes` more have room. */
function evict({ dir, maxBytes }: ModelCache, filling: string, bytes: number): void {
  if (maxBytes === undefined) return
  const models = readdirSync(dir)
    .filter((name) => name.startsWith('models--'))
    .flatMap((name) => readdirSync(join(dir, name)).map((id) => join(dir, name, id)))
    .filter((path) => path !== filling && existsSync(join(path, COMPLETE)))
    .map((path) => ({
      path,
      size: (filesOf(path) ?? []).reduce((sum, file) => sum + file.size, 0),
      usedMs: statSync(join(path, COMPLETE)).mtimeMs,
    }))
    .sort((a, b) => a.usedMs - b.usedMs)
  let total = bytes + models.reduce((sum, { size }) => sum + size, 0)
  for (const { path, size, usedMs } of models) {
    if (total <= maxBytes || Date.now() - usedMs < IN_USE_MILLISECONDS) return
    // Out of sight in one step: nobody opens half a model.
    const aside = join(dir, `removed-${randomBytes(6).toString('hex')}`)
    renameSync(path, aside)
    rmSync(aside, { recursive: true })
    total -= size
  }
}
