import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { LocalFile } from '../../../src/store/stored-files.ts'
import type { Store } from '../../../src/store/store.ts'

/** Opens an empty store that nobody else uses. */
export type OpenFresh = (t: TestContext) => Promise<Store>

/** An empty folder, removed after the test. */
export async function scratchFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'temper-store-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A folder with these files (name → content). */
export async function folderWith(t: TestContext, files: Record<string, string | Buffer>): Promise<string> {
  const folder = await scratchFolder(t)
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), content)
  }
  return folder
}

export async function filesWith(
  t: TestContext,
  files: Record<string, string | Buffer>,
): Promise<LocalFile[]> {
  const folder = await folderWith(t, files)
  return Object.keys(files).map((name) => ({ name, path: path.join(folder, name) }))
}

/** All keys with this beginning, in order. */
export async function keysOf(store: Store, prefix = ''): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(prefix)) keys.push(key)
  return keys.sort()
}

export async function textOf(store: Store, key: string): Promise<string | undefined> {
  const object = await store.read(key)
  return object && Buffer.from(object.bytes).toString()
}

/** Bytes that no compression and no luck makes equal. */
export const randomContent = (size: number): Buffer => randomBytes(size)

/** The store with some of its operations done otherwise. */
export const storeWith = (store: Store, changes: Partial<Store>): Store => ({ ...store, ...changes })
