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
/** A trainer outlives the server's end, and trains on while a new one starts. */
const STEPS_BESIDE_SERVER = 5000

interface KillCase {
  kind: string
  what: string
  /** One for each kill of a job, in their order. */
  kills: readonly { victims: Victims; outlives?: boolean }[]
  /** Before each kill: at most so many checkpoints more than the least. */
  moreCheckpoints: number
  runs: FaultCase['runs']
  options: FaultCase['options']
}

/** kill -9 at seeded moments of training: each time after a seeded number of checkpoints and a seeded fraction of a second. */
function killInTraining({ kind, what, kills: planned, moreCheckpoints, runs, options }: KillCase): FaultCase {
  return {
    part: 'kills',
    kind,
    what,
    runs,
    isQuick: runs === 'quick',
    isMeasured: true,
    ...(options && { options }),
    async run(job, random) {
      const recoveries: Recovery[] = []
      const worker = await job.worker()
      await job.submit()
      for (const { victims, outlives = false } of planned) {
        // The first pointer that an attempt writes is the one that it found, under its own epoch.
        await job.saved(2 + Math.floor(random() * (1 + moreCheckpoints)))
        await sleep(random() * 200)
        const activity = await job.trainingActivity()
        const lostBefore = stepsLost(await job.trainingFailures())
        const killedAt = performance.now()
        await victims(job, worker)
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

const CHECKPOINT = { everySteps: 20, everySeconds: 60, keepLast: 2 }

interface KillKind {
  what: string
  victims: Victims
  outlives?: boolean
}

/** kill -9 of each, as it is done and as the report says it. */
const KINDS: Record<string, KillKind> = {
  'trainer killed': {
    what: 'kill -9 of the trainer',
    victims: async (job, worker) => void (await killTrainer(job, worker)),
  },
  'worker killed': {
    what: 'kill -9 of the worker, whose trainer has to end by itself,',
    async victims(job, worker) {
      const pid = worker.trainer()
      assert(pid, 'training was still running')
      worker.kill()
      await ended(job, pid)
    },
  },
  'worker and trainer killed': {
    what: 'kill -9 of both at once',
    async victims(job, worker) {
      await killTrainer(job, worker)
      worker.kill()
    },
  },
  'Temporal killed': {
    what: 'kill -9 of the Temporal server, and a new one over the same database,',
    async victims(job, worker) {
      assert(worker.trainer(), 'training was still running')
      await job.lane.killTemporal()
    },
    outlives: true,
  },
}

export const kills: FaultCase[] = [
  ...Object.entries(KINDS).map(([kind, { what, ...one }]) =>
    killInTraining({
      kind,
      what: `${what} at a random moment of training, ${KILLS} times in each job`,
      kills: Array.from({ length: KILLS }, () => one),
      moreCheckpoints: 1,
      runs: 5,
      options: { steps: one.outlives ? STEPS_BESIDE_SERVER : STEPS, checkpoint: CHECKPOINT },
    }),
  ),
  killInTraining({
    kind: 'trainer, worker and Temporal killed',
    what: 'kill -9 of the trainer, then of the worker, then of the Temporal server, in one job',
    kills: ['trainer killed', 'worker killed', 'Temporal killed'].map((kind) => KINDS[kind] as KillKind),
    moreCheckpoints: 0,
    runs: 'quick',
    options: { checkpoint: CHECKPOINT },
  }),
]
