import { randomBytes } from 'node:crypto'
import { linkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often a holder shows that it lives. */
const BEAT_MILLISECONDS = 2_000
/** A lock that shows nothing for this long has lost its holder. By the waiter's own clock: no two clocks are compared. */
const DEAD_MILLISECONDS = 30_000
const POLL_MILLISECONDS = 200

/**
 * Runs `work` while nobody else who shares this folder runs theirs under the same lock file, pods of a node included: they see neither
 * each other's processes nor the kernel's locks on every file system, but they see files. Two holders at once, after one has slept for
 * half a minute, do no harm to a download: every file is checked before it gets its name.
 */
export async function withFolderLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const own = `${path}.${randomBytes(8).toString('hex')}`
  writeFileSync(own, '')
  try {
    await take(path, own, signal)
    // The same file under two names: beating one is beating the other.
    const beats = setInterval(() => {
      const now = new Date()
      utimesSync(own, now, now)
    }, BEAT_MILLISECONDS)
    try {
      return await work()
    } finally {
      clearInterval(beats)
      if (isSame(path, own)) rmSync(path, { force: true })
    }
  } finally {
    rmSync(own, { force: true })
  }
}

async function take(path: string, own: string, signal: AbortSignal | undefined): Promise<void> {
  let seen: { version: string; at: number } | undefined
  for (;;) {
    signal?.throwIfAborted()
    try {
      linkSync(own, path)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const version = versionOf(path)
    if (version !== undefined && version === seen?.version) {
      if (performance.now() - seen.at > DEAD_MILLISECONDS) removeDead(path, own, version)
    } else seen = version === undefined ? undefined : { version, at: performance.now() }
    await sleep(POLL_MILLISECONDS, undefined, signal && { signal })
  }
}

/** Of several that find the lock dead, each moves away what it saw, and gives back what it did not. */
function removeDead(path: string, own: string, version: string): void {
  const aside = `${own}.dead`
  try {
    renameSync(path, aside)
  } catch {
    return
  }
  if (versionOf(aside) !== version) {
    try {
      linkSync(aside, path)
    } catch {
      // Somebody has taken it meanwhile.
    }
  }
  rmSync(aside, { force: true })
}

function versionOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  return stat && `${stat.ino} ${stat.mtimeNs}`
}

function isSame(a: string, b: string): boolean {
  const [first, second] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false })?.ino)
  return first !== undefined && first === second
}
