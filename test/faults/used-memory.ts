import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { UsedMemory } from './fault-case.ts'
import type { SupervisedWorker } from './worker-process.ts'

/** Peaks stay: the last look at each process tells. */
const LOOK_MILLISECONDS = 500

/** Watches a worker and what it starts until `work` is done. */
export async function usedMemory(worker: SupervisedWorker, work: Promise<void>): Promise<UsedMemory> {
  let isOver = false
  const used: UsedMemory = { worker: 0, trainer: 0 }
  const watching = (async () => {
    while (!isOver) {
      const trainer = worker.trainer()
      used.worker = Math.max(used.worker, peakOf(worker.pid))
      if (trainer !== undefined) used.trainer = Math.max(used.trainer, peakOf(trainer))
      await sleep(LOOK_MILLISECONDS)
    }
  })()
  try {
    await work
  } finally {
    isOver = true
    await watching
  }
  return used
}

/** Its highest resident memory less the files' pages that it holds now; 0 where it has ended. */
function peakOf(pid: number): number {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return 0
  }
  const kilobytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0)
  return Math.max(0, kilobytes('VmHWM') - kilobytes('RssFile')) * 1024
}
