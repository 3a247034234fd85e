import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { identifyProcess } from '../../../src/local/process-identity.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'
import { recoveryAfter } from '../measure.ts'
import type { SupervisedWorker } from '../worker-process.ts'

type Victims = (job: FaultJob, worker: SupervisedWorker) => Promise<void>

/** kill -9 at a seeded moment of training: after a seeded step and a seeded fraction of a second. */
function killInTraining(
  kind: string,
  what: string,
  kill: Victims,
  runs: number,
  isQuick: boolean,
): FaultCase {
  return {
    kind,
    what,
    runs,
    isQuick,
    async run(job, random) {
      const worker = await job.worker()
      const after = Math.floor(random() * 200)
      const more = random() * 500
      await job.submit()
      const sample = await job.reach(
        `step ${after}`,
        ({ progress }) => progress.phase === 'train' && progress.done > after,
      )
      await sleep(more)
      const killedAt = performance.now()
      await kill(job, worker)
      await job.finish()
      return recoveryAfter(job, killedAt, sample.activity)
    },
  }
}

function killTrainer(worker: SupervisedWorker): number {
  const pid = worker.trainer()
  assert(pid, 'training was still running')
  process.kill(pid, 'SIGKILL')
  return pid
}

async function ended(job: FaultJob, pid: number): Promise<void> {
  await job.until('the end of the orphan', () => (identifyProcess(pid) === undefined ? true : undefined))
}

export const kills: FaultCase[] = [
  killInTraining(
    'trainer killed',
    'kill -9 of the trainer at a random moment of training',
    async (_, worker) => void killTrainer(worker),
    25,
    true,
  ),
  killInTraining(
    'worker killed',
    'kill -9 of the worker at a random moment of training; its trainer has to end by itself',
    async (job, worker) => {
      const pid = worker.trainer()
      assert(pid, 'training was still running')
      worker.kill()
      await ended(job, pid)
    },
    25,
    true,
  ),
  killInTraining(
    'worker and trainer killed',
    'kill -9 of both at once',
    async (_, worker) => {
      killTrainer(worker)
      worker.kill()
    },
    25,
    false,
  ),
  killInTraining(
    'Temporal killed',
    'kill -9 of the Temporal server at a random moment of training, and a new one over the same database',
    async (job, worker) => {
      assert(worker.trainer(), 'training was still running')
      await job.lane.killTemporal()
    },
    20,
    true,
  ),
]
