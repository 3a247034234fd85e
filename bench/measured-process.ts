import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { LEAN_PROCESS } from '../src/train/lean-process.ts'

/** Often enough that little can be allocated between the last look and the end. */
const LOOK_EVERY_MS = 20

export interface Measured {
  /** The last line of standard output. */
  lastLine: string
  /** Each process's high-water mark of resident memory (VmHWM), summed over the process and all it started. */
  peakResidentMb: number
}

/** A module of ours, as the trainer is run. */
export function measuredModule(args: readonly string[]): Promise<Measured> {
  return measuredProcess(process.execPath, [...LEAN_PROCESS.execArgv, ...args], LEAN_PROCESS.env)
}

/** Runs a program to its end, reading its memory from outside. Error with the end of its standard error if it fails. */
export async function measuredProcess(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const peaks = new Map<number, number>()
  const look = () => {
    if (child.pid !== undefined) lookAt(child.pid, peaks)
  }
  const timer = setInterval(look, LOOK_EVERY_MS)
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  try {
    const code = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status, signal) => resolve(status ?? signal))
    })
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${errors.slice(-2000)}`)
  } finally {
    clearInterval(timer)
  }
  const sum = Array.from(peaks.values()).reduce((a, b) => a + b, 0)
  return { lastLine: output.trim().split('\n').at(-1) ?? '', peakResidentMb: Math.round(sum / 1024) }
}

/** VmHWM never falls, so the last value read is the highest. What has ended in the meantime keeps its own. */
function lookAt(pid: number, peaks: Map<number, number>): void {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const kilobytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1])
    if (kilobytes > 0) peaks.set(pid, kilobytes)
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim()
      if (children !== '') for (const child of children.split(' ')) lookAt(Number(child), peaks)
    }
  } catch (error) {
    // Between two looks a process may have ended: ENOENT for its folder, ESRCH for a file that was open already.
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ESRCH') throw error
  }
}
