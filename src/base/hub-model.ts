import { existsSync, statSync } from 'node:fs'
import { mkdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { readJsonFile } from '../formats/json-file.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import { downloadFile } from './download-file.ts'
import { hubRevision, type HubRepository } from './hub-client.ts'
import { modelFiles, type FileDigest } from './model-files.ts'

export interface DownloadProgress {
  file: string
  received: number
  /** Bytes of all files of the model. */
  total: number
}

/** Written last into a model's cache folder: the model is whole. */
const COMPLETE = 'complete.json'

/**
 * A model of the hub in the cache folder: fetched once, whole or not at all. A commit that is there is used without asking the
 * hub; a branch or tag is asked for first. InputError: no such model, no access, nothing in it that Temper can read, disk full.
 */
export async function fetchHubModel(
  repository: HubRepository,
  revision: string,
  cacheDir: string,
  progress: (progress: DownloadProgress) => void,
): Promise<{ commit: string; path: string; files: FileDigest[] }> {
  const folderOf = (commit: string) => join(cacheDir, `models--${repository.name.replace('/', '--')}`, commit)
  if (/^[0-9a-f]{40}$/.test(revision)) {
    const files = completeFiles(folderOf(revision))
    if (files) return { commit: revision, path: folderOf(revision), files }
  }
  const { commit, files: all } = await hubRevision(repository, revision)
  const path = folderOf(commit)
  const known = completeFiles(path)
  if (known) return { commit, path, files: known }

  const wanted = new Set(modelFiles(all.map(({ name }) => name)))
  const files = all.filter(({ name }) => wanted.has(name))
  if (!files.some(({ name }) => name.endsWith('.safetensors'))) {
    const source = `hf://${repository.name}`
    throw new InputError(
      all.some(({ name }) => /\.(bin|pt|pth)$/.test(name))
        ? `${source}: has its weights only as a pickle, which can run any code when it is loaded, and is refused; choose a model with safetensors`
        : `${source}: has no model.safetensors; choose a model with safetensors weights`,
    )
  }
  await mkdir(path, { recursive: true })
  const total = files.reduce((sum, { size }) => sum + size, 0)
  await checkRoom(path, total, files)

  const done: FileDigest[] = []
  let before = 0
  for (const file of files) {
    const report = (received: number) => progress({ file: file.name, received: before + received, total })
    done.push(await downloadFile(repository, commit, file, join(path, file.name), report))
    before += file.size
  }
  await writeOutputFile(join(path, COMPLETE), [Buffer.from(JSON.stringify({ files: done }))])
  return { commit, path, files: done }
}

/** The files of a whole model, or undefined where it was never finished or someone has taken from it. */
function completeFiles(path: string): FileDigest[] | undefined {
  const complete = join(path, COMPLETE)
  if (!existsSync(complete)) return undefined
  const files = readJsonFile(complete).files as FileDigest[] // written by this file alone
  const whole = files.every(
    ({ name, size }) => statSync(join(path, name), { throwIfNoEntry: false })?.size === size,
  )
  return whole ? files : undefined
}

async function checkRoom(path: string, total: number, files: { name: string }[]): Promise<void> {
  const sizeOf = (name: string) => statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0
  const there = files.reduce((sum, { name }) => sum + sizeOf(name) + sizeOf(`${name}.part`), 0)
  const { bavail, bsize } = await statfs(path)
  const missing = total - there - bavail * bsize
  if (missing > 0)
    throw new InputError(
      `${path}: the model needs ${gigabytes(total - there)} GB but ${gigabytes(bavail * bsize)} GB are free; make room and run again`,
    )
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1)
}
