import { readFileSync } from 'node:fs'

/** Resident memory of a process, in MiB. */
export function memoryOf(pid: number): number {
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  return Math.round(kilobytes / 1024)
}
