import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultPayloadConverter } from '@temporalio/client'
import { trainingWorkflowId } from '../../../workflows/job.ts'
import { CPU_TRAINING_QUEUE } from '../../../workflows/queues.ts'
import { keysOf, textOf } from '../../store/support/scratch.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'

interface StoredLease {
  epoch: number
  attempt: string
  claim?: { run: string; attempt: number }
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
  part: 'owners',
  kind: 'worker stopped and continued',
  what: 'SIGSTOP of the worker (every second time of its trainer too) until another has taken over, then SIGCONT',
  runs: 6,
  isQuick: true,
  async run(job, random) {
    const first = await job.worker()
    const checkpoints = 1 + Math.floor(random() * 4)
    const isTrainerToo = random() < 0.5
    await job.submit()
    await job.saved(checkpoints)
    const trainer = first.trainer()
    assert(trainer, 'training was still running')
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
      return {}
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
  part: 'owners',
  kind: 'two workers on one job',
  what: 'the same training is begun by a second workflow on a second worker in the middle of the first: the second has it, and the first takes it back never',
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
    const taken = await job.until('the second owner', async () => {
      const lease = await leaseOf(job)
      return lease.epoch > first.epoch ? lease : undefined
    })
    await second.result()
    const last = await leaseOf(job)
    const owner = await trainingOwner(job)
    assert.equal(owner, taken.attempt, 'the second attempt has trained to the end, at its first try')
    // The first one's next look finds the adapter of the second; where it had none left, its job is run again and does.
    await job.finish().catch(async (error: unknown) => {
      const { cause } = error as { cause?: { type?: string } }
      assert.equal(cause?.type, 'fenced', String(error))
      await job.submitAgain()
      await job.finish()
    })
    const run = (lease: StoredLease) => lease.claim?.run
    assert(run(last) === run(taken) || last.claim === undefined, 'the first run never got the lease back')
    return {}
  },
}

/** Whose adapter it is. */
async function trainingOwner(job: FaultJob): Promise<string> {
  const key = (await keysOf(job.store, 'artifacts/train/')).find((name) => name.endsWith('/manifest.json'))
  const { attempt } = JSON.parse((await textOf(job.store, key ?? '')) ?? '{}') as { attempt: string }
  return attempt
}

/** The newer attempt must not lose to an older one that was asleep while it began. */
const lateStart: FaultCase = {
  part: 'owners',
  kind: 'attempt asleep before it began',
  what: 'SIGSTOP of the worker right before it takes the lease, until the next attempt trains; then SIGCONT',
  runs: 2,
  isQuick: false,
  async run(job, random) {
    const first = await job.worker()
    let isStopped = false
    // The first write of the lease is held back: the worker sleeps in the middle of it.
    job.proxy.decide = ({ method, path }) => {
      if (isStopped || method !== 'PUT' || !path.includes('/lease.json')) return { kind: 'pass' }
      isStopped = true
      process.kill(first.pid, 'SIGSTOP')
      return { kind: 'cut before' }
    }
    await job.submit()
    try {
      await job.until('the sleep', () => (isStopped ? true : undefined))
      await job.worker()
      const after = Math.floor(random() * 50)
      const { activity } = await job.reach(`step ${after}`, ({ progress }) => progress.done > after)
      const owner = await leaseOf(job)
      process.kill(first.pid, 'SIGCONT')
      await job.finish()
      assert.equal(await trainingOwner(job), owner.attempt, 'the attempt that was at work has ended it')
      const others = job.samples.filter(({ at, activity: id }) => id !== activity && at > 0)
      assert.equal(others.length, 0, 'no third attempt was needed')
      return {}
    } finally {
      resume(first.pid)
    }
  },
}

const again: FaultCase = {
  part: 'owners',
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

export const owners: FaultCase[] = [zombie, twice, lateStart, again]
