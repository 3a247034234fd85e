import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const unified = '/sys/fs/cgroup'
/**
 * A node's cores are its own: its pods go before whatever else runs on this machine, ten times the usual share (cpu.shares is
 * 1024 by default, cpu.weight 100).
 */
const PRECEDENCE = { 'cpu.shares': '10240', 'cpu.weight': '1000' }

/** Makes the control group under which a kubelet places its pods, in every hierarchy of the machine. */
export async function createControlGroup(name: string): Promise<void> {
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy, name)
    await mkdir(group, { recursive: true })
    // Version 1: an empty set of processors admits no process.
    for (const set of ['cpuset.cpus', 'cpuset.mems']) {
      if (existsSync(join(hierarchy, set)) && !isUnified()) {
        await writeFile(join(group, set), await readFile(join(hierarchy, set)))
      }
    }
    for (const [file, value] of Object.entries(PRECEDENCE)) {
      if (existsSync(join(group, file))) await writeFile(join(group, file), value)
    }
    if (isUnified()) {
      const controllers = (await readFile(join(group, 'cgroup.controllers'), 'utf8')).trim().split(' ')
      await writeFile(join(group, 'cgroup.subtree_control'), controllers.map((name) => `+${name}`).join(' '))
    }
  }
}

/** Removes the control group and those below. Their processes must have ended; the kernel needs a moment to notice. */
export async function removeControlGroup(name: string): Promise<void> {
  for (const hierarchy of hierarchies()) await removeTree(join(hierarchy, name))
}

/** Names of control groups of the machine that begin so. */
export async function controlGroups(prefix: string): Promise<string[]> {
  const names = await Promise.all(hierarchies().map((hierarchy) => readdir(hierarchy)))
  return [...new Set(names.flat())].filter((name) => name.startsWith(prefix))
}

async function removeTree(group: string): Promise<void> {
  if (!existsSync(group)) return
  const entries = await readdir(group, { withFileTypes: true })
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(group, entry.name))
  const maxAttempts = 100
  for (let attempt = 1; ; attempt++) {
    try {
      await rmdir(group)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === maxAttempts) throw error
      await sleep(50)
    }
  }
}

function isUnified(): boolean {
  return existsSync(join(unified, 'cgroup.controllers'))
}

/** Version 2 has one hierarchy, version 1 one for each controller or pair of them, and often an empty one of version 2 beside. */
function hierarchies(): string[] {
  if (isUnified()) return [unified]
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')
  return mounts
    .map((line) => line.split(' '))
    .filter((fields) => fields[fields.indexOf('-') + 1]?.startsWith('cgroup'))
    .map((fields) => fields[4] ?? '')
}
