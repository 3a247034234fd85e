import { execFileSync } from 'node:child_process'

interface SeenProcess {
  pid: number
  parent: number
  args: string
}

/** All processes of this machine, as ps sees them now. Those that have ended and were not waited for do not count. */
export function allProcesses(): SeenProcess[] {
  const text = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' })
  return text.split('\n').flatMap((line) => {
    const [, pid, parent, state, args] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? []
    if (args === undefined || state?.startsWith('Z')) return []
    return [{ pid: Number(pid), parent: Number(parent), args }]
  })
}

/** Those with this text (a folder's name) among their arguments, this process and its own helpers apart. */
export function processesNaming(text: string): SeenProcess[] {
  return allProcesses().filter(({ pid, args }) => pid !== process.pid && args.includes(text))
}

/** The child process that trains or evaluates for this worker. */
export function trainerOf(worker: number): number | undefined {
  return allProcesses().find(({ parent, args }) => parent === worker && args.includes('child.json'))?.pid
}
