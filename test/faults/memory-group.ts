import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NotPossibleHere } from './fault-case.ts'

/** A control group whose processes may use so much memory and no more. */
export interface MemoryGroup extends AsyncDisposable {
  folder: string
  /** How many of its processes the kernel has killed for memory. */
  kills(): number
  /** The most that its processes have used together, in bytes. */
  peak(): number
}

/** Where version 1 and version 2 of Linux' control groups are mounted, and how they call things. */
const VERSIONS = [
  {
    root: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    swap: 'memory.memsw.limit_in_bytes',
    kills: 'memory.oom_control',
    peak: 'memory.max_usage_in_bytes',
  },
  {
    root: '/sys/fs/cgroup',
    limit: 'memory.max',
    swap: 'memory.swap.max',
    kills: 'memory.events',
    peak: 'memory.peak',
  },
]

/** NotPossibleHere where this user may make no groups. */
export async function memoryGroup(name: string, bytes: number): Promise<MemoryGroup> {
  const found = VERSIONS.find(
    ({ root, limit }) => existsSync(join(root, limit)) || existsSync(join(root, 'cgroup.controllers')),
  )
  if (found === undefined) throw new NotPossibleHere('this machine has no memory control groups')
  const folder = join(found.root, `temper-faults-${process.pid}-${name}`)
  try {
    mkdirSync(folder)
    writeFileSync(join(folder, found.limit), String(bytes))
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => {})
    throw new NotPossibleHere(`this user may not limit memory: ${String(error)}`)
  }
  // Version 1 limits memory and swap together, version 2 swap alone; without swap the file may be missing.
  if (existsSync(join(folder, found.swap)))
    writeFileSync(join(folder, found.swap), found.swap === 'memory.swap.max' ? '0' : String(bytes))
  // Of a run that failed before its worker had ended.
  process.once('exit', () => {
    if (existsSync(folder)) rmdirSync(folder)
  })
  const read = (file: string) => readFileSync(join(folder, file), 'utf8')
  return {
    folder,
    kills: () => Number(/^oom_kill (\d+)$/m.exec(read(found.kills))?.[1] ?? 0),
    peak: () => Number(read(found.peak)),
    async [Symbol.asyncDispose]() {
      // A group can be removed when its last process has been waited for.
      for (let tries = 0; tries < 100; tries++) {
        try {
          return await rmdir(folder)
        } catch {
          await sleep(100)
        }
      }
    },
  }
}
