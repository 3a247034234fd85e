import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { kernelFile } from '../kernel-file.ts'

/** Where Linux mounts control groups, and where a process's own are named. */
const ROOT = '/sys/fs/cgroup'
const OWN = '/proc/self/cgroup'

/**
 * How many threads can run at once: the cores that this process may use, and no more than its control group's CPU limit, whole cores of
 * it (a thread more would have all of them wait for it, time and again). Node knows only of version 2's limits, and of version 1's where
 * cpu and cpuacct are mounted together.
 */
export function cpuShare(root = ROOT, own = OWN, cores = availableParallelism()): number {
  const limits = limitsOf(root, own)
  return Math.max(1, Math.floor(Math.min(cores, ...limits)))
}

/** In cores, of the process's group and all above it. Inside a container its group may be mounted as the root. */
function limitsOf(root: string, own: string): number[] {
  const lines = (kernelFile(own) ?? '').split('\n').map((line) => line.split(':'))
  const v2 = lines.find(([id, controllers]) => id === '0' && controllers === '')?.[2]
  const v1 = lines.find(([, controllers]) => controllers?.split(',').includes('cpu'))
  const [, mounted = 'cpu', path = '/'] = v1 ?? []
  return [
    ...upwards(v2 ?? '/').map((folder) => limit(kernelFile(join(root, folder, 'cpu.max'))?.split(' '))),
    ...['cpu', mounted].flatMap((mount) =>
      upwards(path).map((folder) => {
        const file = (name: string) => kernelFile(join(root, mount, folder, name))
        return limit([file('cpu.cfs_quota_us'), file('cpu.cfs_period_us')])
      }),
    ),
  ].filter((cores) => cores !== undefined)
}

/** Cores of a quota in a period, undefined where there is no limit (`max` or -1). */
function limit([quota, period]: readonly (string | undefined)[] = []): number | undefined {
  const cores = Number(quota) / Number(period)
  return cores > 0 ? cores : undefined
}

function upwards(path: string): string[] {
  const folders = [path]
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) folders.push(dirname(folder))
  return folders
}
