import { join } from 'node:path'
import { kernelFile } from '../kernel-file.ts'

/** Where Linux mounts control groups, and where a process's own are named. */
const ROOT = '/sys/fs/cgroup'
const OWN = '/proc/self/cgroup'

/**
 * How many processes of this container the kernel has killed for memory, since it began: `oom_kill` of memory.events (version
 * 2) or of memory.oom_control (version 1). Undefined where neither can be read (no Linux, no cgroup): then nothing is known.
 */
export function oomKillCount(root = ROOT, own = OWN): number | undefined {
  for (const file of candidates(root, own)) {
    const count = /^oom_kill (\d+)$/m.exec(kernelFile(file) ?? '')?.[1]
    if (count !== undefined) return Number(count)
  }
  return undefined
}

/** The process's own group first; inside a container that is mounted as the root. */
function candidates(root: string, own: string): string[] {
  const lines = (kernelFile(own) ?? '').split('\n').map((line) => line.split(':'))
  const v2 = lines.find(([id, controllers]) => id === '0' && controllers === '')?.[2]
  const v1 = lines.find(([, controllers]) => controllers?.split(',').includes('memory'))?.[2]
  return [
    ...(v1 === undefined ? [] : [join(root, 'memory', v1, 'memory.oom_control')]),
    join(root, 'memory', 'memory.oom_control'),
    ...(v2 === undefined ? [] : [join(root, v2, 'memory.events')]),
    join(root, 'memory.events'),
  ]
}
