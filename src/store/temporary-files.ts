import { randomBytes, createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { isMissing } from './file-errors.ts'

/** `~` is in no key, so nothing in this folder can be mistaken for an object. */
const FOLDER = '~tmp'

/**
 * Names for half-written files, in a folder of the store's own file system. A name says which process made it, so that the
 * next one to open the store can remove what a killed process left, without a clock and without touching what lives.
 */
export interface TemporaryFiles {
  readonly folder: string
  /** A path that is not taken yet. */
  next(): string
  /** Removes what processes of this machine left that are no more. */
  sweep(): Promise<void>
}

export function temporaryFiles(root: string): TemporaryFiles {
  const folder = path.join(root, FOLDER)
  const machine = machineName()
  const owner = `${machine}.${process.pid}.${startOf(process.pid)}`
  return {
    folder,
    next: () => path.join(folder, `${owner}.${randomBytes(8).toString('hex')}`),
    async sweep() {
      const names = await readdir(folder).catch((error: unknown) => {
        if (isMissing(error)) return []
        throw error
      })
      for (const name of names) {
        const [on, pid, start] = name.split('.')
        if (on !== machine || pid === undefined || !/^[0-9]+$/.test(pid)) continue
        if (isAlive(Number(pid)) && startOf(Number(pid)) === start) continue
        await rm(path.join(folder, name), { recursive: true, force: true })
      }
    },
  }
}

/** Process ids mean something only on one machine and within one PID namespace (a container has its own). */
function machineName(): string {
  return createHash('sha256').update(`${hostname()} ${pidNamespace()}`).digest('hex').slice(0, 12)
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return 'one' // No /proc: macOS has one namespace.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

/** When a process began, in the kernel's ticks: tells it from an older one that had the same id. `0` where unknown. */
function startOf(pid: number): string {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 22; the second field, the name, may hold spaces, so count from behind its closing parenthesis.
    return status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? '0'
  } catch {
    return '0'
  }
}
