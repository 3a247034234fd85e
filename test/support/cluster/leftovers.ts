import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ProcessIdentity, identifyProcess, isRunning } from '../../../src/local/process-identity.ts'
import { runCommand } from '../../../src/local/run-command.ts'
import { controlGroups, removeControlGroup } from './control-groups.ts'

/** Folders and bridges of clusters begin with these; what follows is their own. */
export const folderPrefix = 'temper-cluster-'
export const bridgePrefix = 'temper-'

const ownerFile = 'owner.json'

/** Says in a cluster's folder whose it is. */
export async function markFolder(folder: string): Promise<void> {
  await writeFile(join(folder, ownerFile), JSON.stringify(identifyProcess(process.pid)))
}

/** The text that a link carries about its owner: `pid boot/start`. */
export function linkOwner(): string {
  const self = identifyProcess(process.pid)
  return self === undefined ? '' : `${self.pid} ${self.started}`
}

/**
 * Removes what clusters of killed test runs have left. Their processes, mounts and nodes' links the kernel has ended with
 * the test; a folder, a bridge and control groups have nobody. A cluster whose owner runs is never touched.
 */
export async function sweepLeftovers(): Promise<void> {
  const names = await readdir(tmpdir())
  for (const name of names.filter((name) => name.startsWith(folderPrefix))) {
    const folder = join(tmpdir(), name)
    const owner = await readOwner(join(folder, ownerFile))
    if (owner !== undefined && !isRunning(owner)) await rm(folder, { recursive: true, force: true })
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return
  for (const { ifname, ifalias } of await bridges()) {
    if (!ifname.startsWith(bridgePrefix) || isOwnedByRunning(ifalias)) continue
    await runCommand('ip', ['link', 'del', ifname], { timeoutMilliseconds: 60_000 })
    for (const group of await controlGroups(`${ifname}-`)) await removeControlGroup(group)
  }
}

interface Bridge {
  ifname: string
  ifalias?: string
}

async function bridges(): Promise<Bridge[]> {
  const text = await runCommand('ip', ['-json', 'link', 'show', 'type', 'bridge'], {
    timeoutMilliseconds: 60_000,
  })
  return JSON.parse(text || '[]') as Bridge[]
}

/** A bridge without an owner's mark is somebody else's. */
function isOwnedByRunning(alias: string | undefined): boolean {
  const [, pid, started] = /^(\d+) (\S+)$/.exec(alias ?? '') ?? []
  return pid === undefined || started === undefined || isRunning({ pid: Number(pid), started })
}

async function readOwner(file: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ProcessIdentity
  } catch {
    // Somebody is about to write it, or it is not ours.
    return undefined
  }
}
