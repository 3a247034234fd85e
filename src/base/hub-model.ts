import { statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { downloadFile } from './download-file.ts'
import { type ModelCache, cachedModel, modelFolder } from './model-cache.ts'
import { type FileDigest, modelFiles } from './model-files.ts'
import type { HubFile, ModelHub } from './model-hub.ts'
import { fetchStoredModel, findStoredModel } from './stored-model.ts'

export interface DownloadProgress {
  file: string
  received: number
  /** Bytes of all files of the model. */
  total: number
}

interface FetchOptions {
  cache: ModelCache
  /** Where the model is known already: its digest, and the store that may have a copy of it. */
  known?: { digest: string; store: Store }
  progress: (progress: DownloadProgress) => void
}

export interface FetchedModel {
  /** For the next time. */
  revision: string
  path: string
  files: FileDigest[]
}

/** As a commit is written. */
const ID = /^[0-9a-f]{40}$/

/**
 * A model of a hub in the cache folder: fetched once, whole or not at all, from the store where that has a copy. What is there is used
 * without asking the hub where the revision is a commit; a branch or tag is asked for first. InputError: no such model, no access,
 * nothing in it that Temper can read, disk full.
 */
export async function fetchHubModel(
  hub: ModelHub,
  revision: string,
  { cache, known, progress }: FetchOptions,
): Promise<FetchedModel> {
  const stored = known && (await findStoredModel(known.store, known.digest))
  if (known && stored) {
    const { store } = known
    const path = modelFolder(cache, hub.name, ID.test(revision) ? revision : known.digest)
    const files = await cachedModel(cache, path, hub.signal, async (folder, makeRoom) => {
      makeRoom(sizeOf(stored))
      await checkRoom(folder, stored)
      return fetchStoredModel(store, stored, folder)
    })
    return { revision, path, files }
  }
  // What a commit stands for is asked only where its files are not there yet.
  let wanted: { id: string; revision: string; files: HubFile[] } | undefined
  if (!ID.test(revision)) wanted = await wantedOf(hub, revision)
  const path = modelFolder(cache, hub.name, wanted?.id ?? revision)
  const files = await cachedModel(cache, path, hub.signal, async (folder, makeRoom) => {
    wanted ??= await wantedOf(hub, revision)
    makeRoom(sizeOf(wanted.files))
    await checkRoom(folder, wanted.files)
    return download(hub, wanted, folder, progress)
  })
  return { revision: wanted?.revision ?? revision, path, files }
}

/** A revision's files that make the model. */
async function wantedOf(hub: ModelHub, revision: string) {
  const { files: all, ...resolved } = await hub.resolve(revision)
  const names = new Set(modelFiles(all.map(({ name }) => name)))
  const files = all.filter(({ name }) => names.has(name))
  if (!files.some(({ name }) => name.endsWith('.safetensors'))) {
    throw new InputError(
      all.some(({ name }) => /\.(bin|pt|pth)$/.test(name))
        ? `${hub.source}: has its weights only as a pickle, which can run any code when it is loaded, and is refused; choose a model with safetensors`
        : `${hub.source}: has no model.safetensors; choose a model with safetensors weights`,
    )
  }
  return { ...resolved, files }
}

async function download(
  hub: ModelHub,
  { revision, files }: { revision: string; files: readonly HubFile[] },
  folder: string,
  progress: (progress: DownloadProgress) => void,
): Promise<FileDigest[]> {
  const total = sizeOf(files)
  const done: FileDigest[] = []
  let before = 0
  for (const file of files) {
    const report = (received: number) => progress({ file: file.name, received: before + received, total })
    done.push(await downloadFile(hub, revision, file, join(folder, file.name), report))
    before += file.size
  }
  return done
}

const sizeOf = (files: readonly { size: number }[]): number => files.reduce((sum, { size }) => sum + size, 0)

async function checkRoom(path: string, files: readonly { name: string; size: number }[]): Promise<void> {
  const total = sizeOf(files)
  const onDisk = (name: string) => statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0
  const there = files.reduce((sum, { name }) => sum + onDisk(name) + onDisk(`${name}.part`), 0)
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
