import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fate, SeenRequest } from '../../store/support/s3-proxy.ts'
import type { FaultCase } from '../fault-case.ts'

const PASS: Fate = { kind: 'pass' }

/** A job whose every request to the store may meet a fault, from its first to its last. */
function weather(
  kind: string,
  what: string,
  fate: (random: () => number, request: SeenRequest) => Fate,
  isQuick = false,
): FaultCase {
  return {
    part: 'network',
    kind,
    what,
    runs: 3,
    isQuick,
    async run(job, random) {
      let faults = 0
      job.proxy.decide = (request) => {
        const decided = fate(random, request)
        if (decided.kind !== 'pass') faults++
        return decided
      }
      await job.worker()
      await job.submit()
      await job.finish()
      job.proxy.decide = () => PASS
      assert(faults > 0, 'a fault happened')
      return {}
    },
  }
}

const isWrite = ({ method }: SeenRequest) => method === 'PUT' || method === 'POST'

const anyFault = (random: () => number): Fate => {
  const faults: Fate[] = [
    { kind: 'answer', status: 500, code: 'InternalError' },
    { kind: 'answer', status: 503, code: 'SlowDown' },
    { kind: 'cut before' },
    { kind: 'cut after' },
    { kind: 'cut within' },
  ]
  return faults[Math.floor(random() * faults.length)] ?? PASS
}

/**
 * Slept and awake of the trainer during an outage, in milliseconds: training has to outlast it, and steps of this job are so quick
 * that a machine would be busy with nothing else.
 */
const SLOWED = { asleep: 80, awake: 20 }
/** More than a trainer slowed like that does in a second. */
const SLOWED_STEPS = 80

async function slowed(trainer: number, seconds: number): Promise<void> {
  const until = performance.now() + seconds * 1000
  while (performance.now() < until) {
    process.kill(trainer, 'SIGSTOP')
    try {
      await sleep(SLOWED.asleep)
    } finally {
      process.kill(trainer, 'SIGCONT')
    }
    await sleep(SLOWED.awake)
  }
}

/** The store cannot be reached for a while: training goes on, and all is uploaded afterwards. */
function outage(seconds: number, isQuick: boolean): FaultCase {
  return {
    part: 'network',
    kind: `outage of ${seconds} s`,
    what: `no connection to the store for ${seconds} s in the middle of training, which goes on (with a fifth of a processor)`,
    runs: 1,
    isQuick,
    options: {
      // Steps enough to be under way all the while.
      steps: 600 + SLOWED_STEPS * seconds,
      checkpoint: { everySteps: 50, everySeconds: 60, keepLast: 2 },
    },
    async run(job) {
      const worker = await job.worker()
      await job.submit()
      const before = await job.reach('training', ({ progress }) => progress.done > 50)
      const trainer = worker.trainer()
      assert(trainer, 'training was still running')
      job.proxy.decide = () => ({ kind: 'cut before' })
      await slowed(trainer, seconds)
      job.proxy.decide = () => PASS
      const during = job.samples.at(-1)
      assert(during && during.activity === before.activity, 'the same attempt trains on')
      assert(during.progress.done > before.progress.done + 25, 'training went on meanwhile')
      assert(during.progress.phase === 'train', 'training was still under way when the store came back')
      await job.finish()
      const warning = (await job.log()).find(
        ({ level, message }) => level === 'warn' && /checkpoint/.test(message),
      )
      assert(warning, 'a warning says that there is no new checkpoint')
      return {}
    },
  }
}

export const network: FaultCase[] = [
  weather(
    '10 % of requests fail',
    'each request to the store fails with a probability of 10 %: 500, 503 SlowDown, cut before, within or after its answer',
    (random) => (random() < 0.1 ? anyFault(random) : PASS),
    true,
  ),
  weather('SlowDown', 'a third of the requests are answered with 503 SlowDown', (random) =>
    random() < 0.33 ? { kind: 'answer', status: 503, code: 'SlowDown' } : PASS,
  ),
  weather('slow bytes', 'a fifth of the answers come drop by drop over a second', (random) =>
    random() < 0.2 ? { kind: 'slow', milliseconds: 1000 } : PASS,
  ),
  weather(
    'executed, but not answered',
    'a fifth of the writes are done and the connection is cut before the answer',
    (random, request) => (isWrite(request) && random() < 0.2 ? { kind: 'cut after' } : PASS),
  ),
  outage(10, false),
  outage(120, false),
]
