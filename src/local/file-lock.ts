import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { TransientError } from '../errors.ts'
import { type ProcessIdentity, identifyProcess, isRunning } from './process-identity.ts'

/**
 * Runs `work` while no other process of this machine runs its own under the same lock file.
 * The lock dies with its process: a holder that was killed is recognised by its start time, not by a clock.
 */
export async function withFileLock<T>(
  path: string,
  waitMilliseconds: number,
  work: () => Promise<T>,
): Promise<T> {
  const own = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`
  writeFileSync(own, JSON.stringify(identifyProcess(process.pid)))
  try {
    await take(path, own, waitMilliseconds)
    try {
      return await work()
    } finally {
      rmSync(path, { force: true })
    }
  } finally {
    rmSync(own, { force: true })
  }
}

async function take(path: string, own: string, waitMilliseconds: number): Promise<void> {
  const pollMilliseconds = 100
  for (let waited = 0; waited <= waitMilliseconds; waited += pollMilliseconds) {
    try {
      // A link appears whole or not at all, with its content.
      linkSync(own, path)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (!removeIfStale(path, own)) await sleep(pollMilliseconds)
  }
  throw new TransientError(`Another temper command holds ${path} since ${waitMilliseconds / 1000} s.`)
}

/** True where a dead holder's lock was taken away. */
function removeIfStale(path: string, own: string): boolean {
  const holder = readHolder(path)
  if (holder === 'gone') return true
  if (holder !== 'unreadable' && isRunning(holder)) return false
  const aside = `${own}.stale`
  try {
    renameSync(path, aside)
  } catch {
    return true
  }
  // Between the look and the rename another process may have taken the lock: then it is given back.
  const moved = readHolder(aside)
  if (typeof moved === 'object' && isRunning(moved)) linkSync(aside, path)
  rmSync(aside, { force: true })
  return true
}

function readHolder(path: string): ProcessIdentity | 'gone' | 'unreadable' {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return 'gone'
  }
  try {
    return JSON.parse(text) as ProcessIdentity
  } catch {
    return 'unreadable'
  }
}
