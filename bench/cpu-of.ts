import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** CPU seconds of a process, and of the children that it has seen end (proc_pid_stat(5): fields 14 to 17, in clock ticks). */
export function cpuOf(pid: number): { own: number; children: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field, the program's name in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  const seconds = (first: number) => (Number(fields[first - 3]) + Number(fields[first - 2])) / ticks
  return { own: seconds(14), children: seconds(16) }
}
