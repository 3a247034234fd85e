import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApplicationFailure, Context } from '@temporalio/activity'
import type { TrainInput } from '../../src/stages/train.ts'
import { ATTEMPTS_MEMO, type TrainingAttempts } from '../../workflows/job.ts'
import type { PodReport } from '../../workflows/pod-reports.ts'
import { podReportSignal } from '../../workflows/signals.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'

// The training workflow on a real server, told by its controller what became of pods.

const QUEUE = 'test-pod-reports'
const base = { training: { perDeviceTrainBatchSize: 4, layout: 'whole' } }
const outcome = { ref: { stage: 'train', digest: 'd' }, skipped: false, summary: {} }

describe('a report about a pod', { timeout: 120_000 }, () => {
  let worker: TestWorker
  let attempt: (number: number, given: TrainInput) => unknown
  before(async () => {
    worker = await startTestWorker(QUEUE, { train: (given: TrainInput) => attempt(given.attempt, given) })
  })
  /** Until the test's end: a worker waits for its activities before it stops. */
  const hang = Promise.withResolvers<never>()
  hang.promise.catch(() => {})
  after(async () => {
    hang.reject(new Error('the test is over'))
    await worker.stop()
  })

  function start(workflowId: string, heartbeatSeconds: number) {
    const input = { jobId: 'finetune-x', attempt: 1, base } as TrainInput
    return worker.client.workflow.start('train', {
      workflowId,
      taskQueue: QUEUE,
      args: [{ input, queue: QUEUE, heartbeatSeconds, reportsPods: true }],
    })
  }
  type Handle = Awaited<ReturnType<typeof start>>
  const attemptsOf = async (handle: Handle) =>
    (await handle.describe()).memo?.[ATTEMPTS_MEMO] as TrainingAttempts
  const report = (handle: Handle, told: Partial<PodReport>) =>
    handle.signal(podReportSignal, {
      stage: 'train',
      attempt: 1,
      pod: 'p',
      ended: true,
      evidence: [],
      ...told,
    })

  test('of a worker that is gone ends its attempt at once, with the kind that the cluster saw', async () => {
    const begun = Promise.withResolvers<void>()
    const given: TrainInput[] = []
    attempt = (number, input) => {
      given.push(input)
      if (number > 1) return outcome
      begun.resolve()
      return hang.promise
    }
    // A day: what ends the attempt is not the heartbeat.
    const handle = await start('gone', 86_400)
    await begun.promise
    // About an attempt that is long over, and about a worker that may be alive: neither ends anything.
    await report(handle, { attempt: 7 })
    await report(handle, { ended: false, kind: 'nodeLost', evidence: ['node condition Ready=Unknown'] })
    await report(handle, {
      kind: 'outOfMemory',
      evidence: ['container: OOMKilled'],
      lost: { steps: 5, seconds: 9 },
    })
    assert.deepEqual(await handle.result(), outcome)
    assert.equal(given[1]?.relief?.microBatchRows, 2, 'the next attempt is smaller')
    const { failures, recoveries } = await attemptsOf(handle)
    assert.deepEqual(failures, { outOfMemory: { times: 1, steps: 5, seconds: 9 } })
    assert.equal(recoveries?.length, 1)
    assert.partialDeepStrictEqual(recoveries[0], { attempt: 1, kind: 'outOfMemory' })
    assert.ok(recoveries[0]?.evidence.includes('container: OOMKilled'))
  })

  test('of a pod that is gone keeps the next attempts from its worker, which may still poll for a moment', async () => {
    const begun = Promise.withResolvers<void>()
    const seen: [number, TrainInput['avoidWorkers']][] = []
    attempt = (number, input) => {
      seen.push([number, input.avoidWorkers])
      if (number === 1) {
        begun.resolve()
        return hang.promise
      }
      if (seen.length < 3) throw ApplicationFailure.create({ type: 'declined', message: 'pod p is gone' })
      return outcome
    }
    const handle = await start('pod-gone', 86_400)
    await begun.promise
    await report(handle, { podGone: true, evidence: ['the pod is gone'] })
    assert.deepEqual(await handle.result(), outcome)
    assert.deepEqual(seen, [
      [1, undefined],
      [2, ['p']],
      [2, ['p']],
    ])
    assert.deepEqual(Object.keys((await attemptsOf(handle)).failures), ['lost'])
  })

  test('that comes before the heartbeat is missed explains the silence', async () => {
    attempt = async (number) => {
      if (number > 1) return outcome
      Context.current().heartbeat({ phase: 'train', done: 1, worker: { host: hostname() } })
      return hang.promise
    }
    const handle = await start('silent', 1)
    await report(handle, {
      attempt: 0,
      ended: false,
      pod: hostname(),
      kind: 'hardware',
      evidence: ['NVIDIA Xid 79: restartMachine'],
      avoidNode: 'n1',
    })
    await handle.result()
    const { failure } = await attemptsOf(handle)
    assert.equal(failure?.kind, 'hardware')
    assert.equal(failure.avoidNode, 'n1')
    assert.deepEqual(failure.evidence, ['NVIDIA Xid 79: restartMachine', 'no heartbeat of the worker'])
  })

  test('that comes after the next attempt has begun corrects the record', async () => {
    const second = Promise.withResolvers<void>()
    const end = Promise.withResolvers<void>()
    attempt = async (number) => {
      if (number === 1) return hang.promise
      const { heartbeat } = Context.current()
      const beats = setInterval(() => heartbeat(), 200)
      second.resolve()
      await end.promise
      clearInterval(beats)
      return outcome
    }
    const handle = await start('late', 2)
    await second.promise
    assert.deepEqual(Object.keys((await attemptsOf(handle)).failures), ['lost'])
    await report(handle, {
      ended: false,
      kind: 'nodeLost',
      evidence: ['node condition Ready=Unknown'],
      avoidNode: 'n1',
    })
    for (let told = await attemptsOf(handle); ; told = await attemptsOf(handle)) {
      if (told.failure?.kind === 'nodeLost') {
        assert.deepEqual(Object.keys(told.failures), ['nodeLost'])
        assert.equal(told.recoveries?.[0]?.kind, 'nodeLost')
        break
      }
      await sleep(20)
    }
    end.resolve()
    await handle.result()
  })
})
