import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { identifyProcess } from '../../../src/local/process-identity.ts'
import type { FaultCase, Recovery } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'
import { recoveryAfter, stepsLost } from '../measure.ts'
import type { SupervisedWorker } from '../worker-process.ts'

type Victims = (job: FaultJob, worker: SupervisedWorker) => Promise<void>

/** Of one job of the whole run, one after the other. */
const KILLS = 5
/** For all the kills of a job to meet a training under way. */
const STEPS = 2000

/** kill -9 at seeded moments of training: each time after a seeded number of checkpoints and a seeded fraction of a second. */
function killInTraining(
  kind: string,
  what: string,
  kill: Victims,
  { isQuick, outlives = false }: { isQuick: boolean; outlives?: boolean },
): FaultCase {
  return {
    part: 'kills',
    kind,
    what: `${what} at a random moment of training, ${KILLS} times in each job`,
    runs: 5,
    isQuick,
    isMeasured: true,
    options: isQuick ? {} : { steps: STEPS },
    async run(job, random, { isQuick: isOnce }) {
      const recoveries: Recovery[] = []
      const worker = await job.worker()
      await job.submit()
      for (let number = 1; number <= (isOnce ? 1 : KILLS); number++) {
        // The first pointer that an attempt writes is the one that it found, under its own epoch.
        await job.saved(2 + Math.floor(random() * 3))
        await sleep(random() * 200)
        const activity = await job.trainingActivity()
        const lostBefore = stepsLost(await job.trainingFailures())
        const killedAt = performance.now()
        await kill(job, worker)
        const recovery = await recoveryAfter(job, killedAt, { activity, outlives }, lostBefore)
        if (recovery) recoveries.push(recovery)
      }
      await job.finish()
      return { recoveries }
    },
  }
}

async function killTrainer(job: FaultJob, worker: SupervisedWorker): Promise<number> {
  // A trainer that has just begun again may not have been seen yet.
  const pid = await job.until('the trainer', () => worker.trainer())
  process.kill(pid, 'SIGKILL')
  return pid
}

async function ended(job: FaultJob, pid: number): Promise<void> {
  await job.until('the end of the orphan', () => (identifyProcess(pid) === undefined ? true : undefined))
}

export const kills: FaultCase[] = [
  killInTraining(
    'trainer killed',
    'kill -9 of the trainer',
    async (job, worker) => void (await killTrainer(job, worker)),
    { isQuick: true },
  ),
  killInTraining(
    'worker killed',
    'kill -9 of the worker, whose trainer has to end by itself,',
    async (job, worker) => {
      const pid = worker.trainer()
      assert(pid, 'training was still running')
      worker.kill()
      await ended(job, pid)
    },
    { isQuick: true },
  ),
  killInTraining(
    'worker and trainer killed',
    'kill -9 of both at once',
    async (job, worker) => {
      await killTrainer(job, worker)
      worker.kill()
    },
    { isQuick: false },
  ),
  killInTraining(
    'Temporal killed',
    'kill -9 of the Temporal server, and a new one over the same database,',
    async (job, worker) => {
      assert(worker.trainer(), 'training was still running')
      await job.lane.killTemporal()
    },
    { isQuick: true, outlives: true },
  ),
]
