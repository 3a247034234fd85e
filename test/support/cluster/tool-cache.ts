import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { withFileLock } from '../../../src/local/file-lock.ts'

/** Whoever waits may wait for another test file's build: the API server alone takes minutes on two cores. */
const lockMilliseconds = 40 * 60_000

function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'temper', 'test-tools')
}

/**
 * The folder `name` of the user's cache for test tools; `fill` puts its files there if it is not there yet.
 * A folder appears whole or not at all, and two processes that ask at once fill it once.
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const cache = cacheFolder()
  const folder = join(cache, name)
  if (await isThere(folder)) return folder
  await mkdir(cache, { recursive: true })
  await withFileLock(`${folder}.lock`, lockMilliseconds, async () => {
    if (await isThere(folder)) return
    const fresh = await mkdtemp(`${folder}-`)
    try {
      await fill(fresh)
      await rename(fresh, folder)
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
  })
  return folder
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}
