import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { kernelFile } from '../kernel-file.ts'

/** Where Linux mounts control groups, and where a process's own are named. */
const ROOT = '/sys/fs/cgroup'
const OWN = '/proc/self/cgroup'

export interface MemoryLimit {
  bytes: number
  /** What sets it: a container's (Kubernetes: resources.limits.memory) or the machine's memory. */
  of: 'container' | 'machine'
}

/**
 * The memory that this process may use: the lowest limit of its control group and of those above it (`memory.max` of version 2,
 * `memory.limit_in_bytes` of version 1), or the machine's memory where that is less.
 */
export function memoryLimit(root = ROOT, own = OWN, machine = totalmem()): MemoryLimit {
  const limits = limitFiles(root, own).flatMap((file) => {
    const bytes = Number(kernelFile(file)?.trim() ?? Number.NaN)
    return Number.isFinite(bytes) && bytes > 0 ? [bytes] : [] // `max` is none; version 1 says none with 2^63 or so.
  })
  const lowest = Math.min(...limits)
  return lowest < machine ? { bytes: lowest, of: 'container' } : { bytes: machine, of: 'machine' }
}

/** Inside a container the own group is often mounted as the root, whatever its name: the root counts too. */
function limitFiles(root: string, own: string): string[] {
  const lines = (kernelFile(own)?.trim() ?? '').split('\n').map((line) => line.split(':'))
  const v2 = lines.find(([id, controllers]) => id === '0' && controllers === '')?.[2]
  const v1 = lines.find(([, controllers]) => controllers?.split(',').includes('memory'))?.[2]
  return [
    ...withParents(v2).map((group) => join(root, group, 'memory.max')),
    ...withParents(v1).map((group) => join(root, 'memory', group, 'memory.limit_in_bytes')),
  ]
}

function withParents(group = '/'): string[] {
  const parent = dirname(group)
  return parent === group ? [group] : [group, ...withParents(parent)]
}
