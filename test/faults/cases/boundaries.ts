import assert from 'node:assert/strict'
import type { Fate, SeenRequest } from '../../store/support/s3-proxy.ts'
import type { FaultCase } from '../fault-case.ts'
import type { SupervisedWorker } from '../worker-process.ts'

const PASS: Fate = { kind: 'pass' }
/** The server has done the request by then; the killed process has not read the answer. */
const AFTER_MILLISECONDS = 5

/**
 * Which boundary of the store's protocol a request is: method and place without what differs between attempts. Undefined for
 * requests that change nothing, and for logs.
 */
function boundaryOf({ method, path }: SeenRequest): string | undefined {
  if (method === 'GET' || method === 'HEAD') return undefined
  const key = decodeURIComponent(path.split('?')[0] ?? '')
  const query = /[?&](uploads|uploadId|partNumber)/.exec(path)?.[1]
  const checkpoint = /\/training\/[^/]+\/(?:checkpoints\/[^/]+\/)?([^/]+)$/.exec(key)?.[1]
  if (checkpoint) return [method, 'checkpoint', checkpoint, query].filter(Boolean).join(' ')
  const [, stage, file] = /\/artifacts\/([^/]+)\/(?:[^/]+\/)*([^/]+)$/.exec(key) ?? []
  if (stage) return [method, stage, file, query].filter(Boolean).join(' ')
  const published = /\/models\/(?:[^/]+\/)*([^/]+)$/.exec(key)?.[1]
  return published && [method, 'publish', published, query].filter(Boolean).join(' ')
}

/**
 * Kills at every boundary of one kind, once at each: in each run of the case at those of its share, each time right before
 * the server does the request or right after.
 */
function killAtBoundaries(
  kind: string,
  what: string,
  counts: (boundary: string) => boolean,
  shares: number,
  least: number,
  isWhole: boolean,
  kill: (worker: SupervisedWorker) => void,
): FaultCase {
  return {
    part: 'boundaries',
    kind,
    what,
    // Every share twice: before and after.
    runs: 2 * shares,
    isQuick: true,
    options: { isWhole, checkpoint: { everySteps: 60, everySeconds: 60, keepLast: 2 } },
    async run(job, random, { number, isQuick }) {
      const isBefore = number % 2 === 1
      const share = Math.floor((number - 1) / 2)
      const worker = await job.worker()
      const met: string[] = []
      const killedAt: string[] = []
      // The quick run kills once, at a boundary that its seed draws.
      const only = 1 + Math.floor(random() * least)
      job.proxy.decide = (request): Fate => {
        const boundary = boundaryOf(request)
        if (boundary === undefined || !counts(boundary) || met.includes(boundary)) return PASS
        met.push(boundary)
        if (isQuick ? met.length !== only : (met.length - 1) % shares !== share) return PASS
        killedAt.push(boundary)
        if (isBefore) kill(worker)
        else setTimeout(() => kill(worker), AFTER_MILLISECONDS)
        return isBefore ? { kind: 'cut before' } : { kind: 'cut after' }
      }
      await job.submit()
      await job.finish()
      assert(met.length >= least, `only ${met.length} boundaries were met: ${met.join(', ')}`)
      assert(killedAt.length > 0, 'a kill happened')
      const attempts = new Set((await job.log()).map(({ stage, attempt }) => `${stage}/${attempt}`))
      const stages = new Set(Array.from(attempts, (attempt) => attempt.split('/')[0]))
      assert(attempts.size > stages.size, 'a stage was begun again')
      return { note: `${killedAt.length} kills ${isBefore ? 'before' : 'after'}: ${killedAt.join(', ')}` }
    },
  }
}

export const boundaries: FaultCase[] = [
  killAtBoundaries(
    'killed at a checkpoint’s boundaries',
    'kill -9 of the trainer right before and right after every request that changes a checkpoint: files, manifest, pointer, removals',
    (boundary) => / checkpoint /.test(boundary),
    1,
    6,
    false,
    (worker) => {
      const pid = worker.trainer()
      if (pid) process.kill(pid, 'SIGKILL')
    },
  ),
  killAtBoundaries(
    'killed at a commit’s boundaries',
    'kill -9 of the worker right before and right after every request that commits a stage or publishes',
    (boundary) => !/ checkpoint /.test(boundary),
    4,
    16,
    true,
    (worker) => worker.kill(),
  ),
]
