import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A process that can be recognised again: process ids are reused, a pid with its start time is not. */
export interface ProcessIdentity {
  pid: number
  /** Opaque: equal for the same process only, across reboots too. */
  started: string
}

/** Undefined where no such process runs (a zombie that only waits for its parent counts as ended). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const started = process.platform === 'linux' ? startedOnLinux(pid) : startedByPs(pid)
  return started === undefined ? undefined : { pid, started }
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.started === identity.started
}

function startedOnLinux(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // proc(5): the command in parentheses may hold anything, so the fields are counted from the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state] = fields
  const startTime = fields[19]
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined
  // The start time counts from boot, so the boot belongs to it.
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${startTime}`
}

function startedByPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    if (line === '' || line.startsWith('Z')) return undefined
    return line.slice(line.indexOf(' ') + 1).trim()
  } catch {
    return undefined
  }
}
