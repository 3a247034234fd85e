import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultPayloadConverter } from '@temporalio/client'
import { trainingWorkflowId } from '../../../workflows/job.ts'
import { CPU_TRAINING_QUEUE } from '../../../workflows/queues.ts'
import { keysOf, textOf } from '../../store/support/scratch.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'
import { recoveryAfter } from '../measure.ts'

interface StoredLease {
  epoch: number
  attempt: string
}

async function leaseOf(job: FaultJob): Promise<StoredLease> {
  return JSON.parse((await textOf(job.store, `jobs/${job.jobId}/lease.json`)) ?? '{}') as StoredLease
}

/** Names of the checkpoints that may be resumed from. */
async function namedCheckpoints(job: FaultJob): Promise<string[]> {
  const pointer = (await keysOf(job.store, 'jobs/')).find((key) => key.endsWith('/latest.json'))
  const { value } = JSON.parse((await textOf(job.store, pointer ?? '')) ?? '{"value":[]}') as {
    value: string[]
  }
  return value
}

async function assertNothingOf(job: FaultJob, attempt: string): Promise<void> {
  for (const key of await keysOf(job.store))
    if (/^(?:artifacts|models)\/.*manifest\.json$/.test(key))
      assert(!(await textOf(job.store, key))?.includes(`"attempt":"${attempt}"`), `${key} is the zombie's`)
}

const zombie: FaultCase = {
  kind: 'worker stopped and continued',
  what: 'SIGSTOP of the worker (every second time of its trainer too) until another has taken over, then SIGCONT',
  runs: 6,
  isQuick: true,
  async run(job, random) {
    const first = await job.worker()
    const after = Math.floor(random() * 150)
    const isTrainerToo = random() < 0.5
    await job.submit()
    const { activity } = await job.reach(`step ${after}`, ({ progress }) => progress.done > after)
    const trainer = first.trainer()
    assert(trainer, 'training was still running')
    const stoppedAt = performance.now()
    const frozen = isTrainerToo ? [first.pid, trainer] : [first.pid]
    for (const pid of frozen) process.kill(pid, 'SIGSTOP')
    try {
      const held = await leaseOf(job)
      await job.worker()
      await job.until('the next owner', async () =>
        (await leaseOf(job)).epoch > held.epoch ? true : undefined,
      )
      const before = await namedCheckpoints(job)
      await sleep(random() * 1000)
      for (const pid of frozen) process.kill(pid, 'SIGCONT')
      await job.finish()
      await assertNothingOf(job, held.attempt)
      const late = (await namedCheckpoints(job)).filter(
        (name) => name.endsWith(`-${held.epoch}`) && !before.includes(name),
      )
      assert.deepEqual(late, [], 'the zombie has moved the pointer')
      return await recoveryAfter(job, stoppedAt, activity)
    } finally {
      for (const pid of frozen) resume(pid)
    }
  },
}

function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** What the training workflow was started with, from its history. */
async function trainingArguments(job: FaultJob): Promise<unknown[]> {
  const handle = job.lane.client.workflow.getHandle(trainingWorkflowId(job.jobId))
  const { events } = await handle.fetchHistory()
  const payloads = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? []
  return payloads.map((payload) => defaultPayloadConverter.fromPayload<unknown>(payload))
}

const twice: FaultCase = {
  kind: 'two workers on one job',
  what: 'the same training is given to a second worker while the first is in the middle of it',
  runs: 4,
  isQuick: false,
  async run(job, random) {
    await job.worker()
    await job.worker()
    await job.submit()
    const after = Math.floor(random() * 150)
    await job.reach(`step ${after}`, ({ progress }) => progress.done > after)
    const first = await leaseOf(job)
    const second = await job.lane.client.workflow.start('train', {
      workflowId: `${job.jobId}.second`,
      taskQueue: CPU_TRAINING_QUEUE,
      args: await trainingArguments(job),
    })
    await job.until('the second owner', async () =>
      (await leaseOf(job)).epoch > first.epoch ? true : undefined,
    )
    // Each new attempt fences the other until one has no retries left; then that one's owner runs it again.
    const [ofJob, ofSecond] = await Promise.allSettled([job.finish(), second.result()])
    const ends = [ofJob.status, ofSecond.status]
    assert(ends.includes('fulfilled'), 'one of the two ended well')
    if (ofJob.status === 'rejected') {
      await job.submitAgain()
      await job.finish()
    }
    return {}
  },
}

const again: FaultCase = {
  kind: 'activity executed twice',
  what: 'training is executed once more after its end: it does nothing',
  runs: 2,
  isQuick: false,
  async run(job) {
    await job.worker()
    await job.submit()
    await job.finish()
    const before = (await keysOf(job.store)).filter((key) => !key.includes('/logs/'))
    const second = await job.lane.client.workflow.execute('train', {
      workflowId: `${job.jobId}.again`,
      taskQueue: CPU_TRAINING_QUEUE,
      args: await trainingArguments(job),
    })
    assert.equal((second as { skipped: boolean }).skipped, true)
    const after = (await keysOf(job.store)).filter((key) => !key.includes('/logs/'))
    assert.deepEqual(after, before)
    return {}
  },
}

export const owners: FaultCase[] = [zombie, twice, again]
