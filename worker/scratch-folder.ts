import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ProcessIdentity, identifyProcess, isRunning } from '../src/local/process-identity.ts'

const ownerFile = 'owner.json'

/**
 * A folder of this process's own below `parent`, for unfinished work. What killed processes have left there is removed:
 * nothing in it can be needed, since checkpoints and artifacts are in the store.
 */
export function scratchFolder(parent: string): { path: string; remove(): void } {
  mkdirSync(parent, { recursive: true })
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name)
    const owner = readOwner(folder)
    if (owner === undefined || !isRunning(owner)) rmSync(folder, { recursive: true, force: true })
  }
  const path = join(parent, String(process.pid))
  mkdirSync(path)
  writeFileSync(join(path, ownerFile), JSON.stringify(identifyProcess(process.pid)))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

function readOwner(folder: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, ownerFile), 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
