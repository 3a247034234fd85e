import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, WorkflowFailedError } from '@temporalio/client'
import { jobIdOf } from '../../../jobs/job-id.ts'
import { keysOf, textOf } from '../../store/support/scratch.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'

const WORKERS = 3
const ASK_AGAIN_MILLISECONDS = 1_000
/** Between two kills of a worker, in milliseconds: the shortest, and what is drawn on top. */
const LULL = { least: 4_000, more: 8_000 }

/** Many jobs at once, and workers that are killed all the while. */
function manyJobs(count: number, runs: number): FaultCase {
  return {
    part: 'load',
    kind: `${count} jobs`,
    what: `${count} small jobs at once on ${WORKERS} workers, of which one is killed at random every 4 to 12 s: all end, none is lost, none has trained or published twice`,
    runs,
    isQuick: false,
    against: 'itself',
    checks: 'itself',
    options: {
      steps: 12,
      checkpoint: { everySteps: 4, everySeconds: 60, keepLast: 1 },
      limitSeconds: 1500,
    },
    async run(job, random) {
      const workers = await Promise.all(Array.from({ length: WORKERS }, () => job.worker()))
      const names = Array.from({ length: count }, (_, i) => `${job.name}-${i + 1}`)
      // Another seed each: no two jobs make the same artifact.
      for (const [i, name] of names.entries()) await job.submitBeside(name, { seed: i + 1 })
      let isOver = false
      let kills = 0
      const killing = (async () => {
        while (!isOver) {
          await sleep(LULL.least + random() * LULL.more)
          if (isOver) return
          workers[Math.floor(random() * workers.length)]?.kill()
          kills++
        }
      })()
      try {
        const { client } = job.lane
        const ends = await job.all(names.map((name) => endOf(client, name)))
        assert.deepEqual([...new Set(ends)], ['ended well'])
      } finally {
        isOver = true
        await killing
      }
      await assertOnceEach(job, names)
      return { note: `${kills} workers killed` }
    },
  }
}

/** How a job ended; a busy server's late answer to the question is no end. */
async function endOf(client: Client, name: string): Promise<string> {
  for (;;) {
    try {
      await client.workflow.getHandle(jobIdOf(name)).result()
      return 'ended well'
    } catch (error) {
      if (error instanceof WorkflowFailedError) return `failed: ${String(error.cause ?? error)}`
      await sleep(ASK_AGAIN_MILLISECONDS)
    }
  }
}

/** One adapter for each job, one published version of each name, and not one workflow more. */
async function assertOnceEach(job: FaultJob, names: readonly string[]): Promise<void> {
  const keys = await keysOf(job.store)
  const adapters = keys.filter((key) => /^artifacts\/train\/.*\/manifest\.json$/.test(key))
  assert.equal(adapters.length, names.length, 'an adapter for each job')
  for (const name of names) {
    const versions = keys.filter((key) =>
      new RegExp(`^models/${name}/versions/\\d+/manifest\\.json$`).test(key),
    )
    assert.equal(versions.length, 1, `${name} is published once`)
    const current = JSON.parse((await textOf(job.store, `models/${name}/current.json`)) ?? '{}') as {
      version?: number
    }
    assert.equal(current.version, 1, `${name} stands at version 1`)
  }
  const started = await job.lane.client.workflow.count(`WorkflowId STARTS_WITH "finetune-${job.name}-"`)
  // Each job and its training.
  assert.equal(started.count, 2 * names.length, 'no job was started twice')
}

export const load: FaultCase[] = [manyJobs(200, 1)]
