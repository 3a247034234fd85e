import assert from 'node:assert/strict'
import type { Fate, SeenRequest } from '../../store/support/s3-proxy.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'
import type { SupervisedWorker } from '../worker-process.ts'

const PASS: Fate = { kind: 'pass' }
/** The server has done the request by then; the killed process has not read the answer. */
const AFTER_MILLISECONDS = 5

/** Changes of the store that belong to checkpoints: files, manifest, pointer, removals. */
const ofCheckpoints = ({ method, path }: SeenRequest) =>
  method !== 'GET' && method !== 'HEAD' && path.includes('/training/')
/** Those of a stage's commit or of a publication. */
const ofCommits = ({ method, path }: SeenRequest) =>
  method !== 'GET' && method !== 'HEAD' && /\/(?:artifacts|models)\//.test(path)

/** Kills right before or right after one change of the store, drawn from all changes of that kind. */
function killAtBoundary(
  kind: string,
  what: string,
  counts: (request: SeenRequest) => boolean,
  /** As many as a job surely makes. */
  changes: number,
  kill: (worker: SupervisedWorker) => void,
): FaultCase {
  return {
    kind,
    what,
    runs: 15,
    isQuick: true,
    async run(job, random) {
      const at = 1 + Math.floor(random() * changes)
      const isBefore = random() < 0.5
      const worker = await job.worker()
      let count = 0
      job.proxy.decide = (request): Fate => {
        if (!counts(request) || ++count !== at) return PASS
        if (isBefore) kill(worker)
        else setTimeout(() => kill(worker), AFTER_MILLISECONDS)
        return isBefore ? { kind: 'cut before' } : { kind: 'cut after' }
      }
      await job.submit()
      await job.finish()
      assert(count >= at, `only ${count} changes were made, the kill was to be at number ${at}`)
      await assertTakenUpAgain(job)
      return {}
    },
  }
}

async function assertTakenUpAgain(job: FaultJob): Promise<void> {
  const attempts = new Set((await job.log()).map(({ stage, attempt }) => `${stage}/${attempt}`))
  const stages = new Set(Array.from(attempts, (attempt) => attempt.split('/')[0]))
  assert(attempts.size > stages.size, 'a stage was begun again')
}

export const boundaries: FaultCase[] = [
  killAtBoundary(
    'killed at a checkpoint’s boundary',
    'kill -9 of the trainer right before or after one request that writes a checkpoint, drawn at random',
    ofCheckpoints,
    30,
    (worker) => {
      const pid = worker.trainer()
      if (pid) process.kill(pid, 'SIGKILL')
    },
  ),
  killAtBoundary(
    'killed at a commit’s boundary',
    'kill -9 of the worker right before or after one request that commits a stage or publishes, drawn at random',
    ofCommits,
    20,
    (worker) => worker.kill(),
  ),
]
