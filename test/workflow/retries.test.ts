import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApplicationFailure, Context } from '@temporalio/activity'
import { WorkflowFailedError } from '@temporalio/client'
import type { TrainInput } from '../../src/stages/train.ts'
import { ATTEMPTS_MEMO, type TrainingAttempts } from '../../workflows/job.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'

// The training workflow on a real server. Only the activity is played, since its failures are what is tried.

const QUEUE = 'test-retries'
const base = { training: { perDeviceTrainBatchSize: 4, layout: 'whole' } }
const input = { jobId: 'finetune-x', attempt: 1, base } as TrainInput
const outcome = { ref: { stage: 'train', digest: 'd' }, skipped: false, summary: {} }

describe('an attempt that fails', { timeout: 120_000 }, () => {
  let worker: TestWorker
  let attempt: (number: number, given: TrainInput) => unknown

  before(async () => {
    worker = await startTestWorker(QUEUE, { train: (given: TrainInput) => attempt(given.attempt, given) })
  })
  after(() => worker.stop())

  function start(workflowId: string, rules: object = {}) {
    return worker.client.workflow.start('train', {
      workflowId,
      taskQueue: QUEUE,
      args: [{ input, queue: QUEUE, heartbeatSeconds: 1, ...rules }],
    })
  }

  async function failureOf(result: Promise<unknown>): Promise<ApplicationFailure> {
    const error = await result.then(
      () => assert.fail('it should have failed'),
      (rejection: unknown) => rejection,
    )
    assert(error instanceof WorkflowFailedError)
    assert(error.cause instanceof ApplicationFailure)
    return error.cause
  }

  test("is not tried again where only the user can mend it, and the user's sentence arrives", async () => {
    const attempts: number[] = []
    attempt = (number) => {
      attempts.push(number)
      throw ApplicationFailure.create({ type: 'InputError', message: 'rows.jsonl: mend row 3.' })
    }
    const failure = await failureOf((await start('input')).result())
    assert.equal(failure.message, 'rows.jsonl: mend row 3.')
    assert.equal(failure.type, 'input')
    assert.deepEqual(attempts, [1])
  })

  test('is tried again where the network or the machine failed, and says so in the memo', async () => {
    attempt = (number) => {
      if (number < 3) throw ApplicationFailure.create({ type: 'TransientError', message: 'no answer' })
      return outcome
    }
    const handle = await start('transient')
    assert.deepEqual(await handle.result(), outcome)
    const { memo } = await handle.describe()
    const told = memo?.[ATTEMPTS_MEMO] as TrainingAttempts
    assert.equal(told.attempts, 3)
    assert.deepEqual(told.failure, { kind: 'transient', message: 'no answer', evidence: [] })
    assert.equal(told.failures.transient?.times, 2)
  })

  test('is tried again when its worker falls silent', async () => {
    const silence = Promise.withResolvers<never>()
    attempt = (number) => {
      if (number > 1) return outcome
      Context.current().heartbeat({ phase: 'train', done: 1, unsaved: { steps: 7, seconds: 3.5 } })
      return silence.promise
    }
    const handle = await start('silent')
    assert.deepEqual(await handle.result(), outcome)
    const { memo } = await handle.describe()
    assert.equal((memo?.[ATTEMPTS_MEMO] as { failure: { kind: string } }).failure.kind, 'lost')
    // What the last heartbeat said would be lost, is counted as lost.
    const { failures } = memo?.[ATTEMPTS_MEMO] as TrainingAttempts
    assert.deepEqual(failures, { lost: { times: 1, steps: 7, seconds: 3.5 } })
    silence.reject(new Error('a zombie that nobody waits for any more'))
  })

  test('is made smaller rung by rung where it had not the memory, and fails at the last', async () => {
    const reliefs: TrainInput['relief'][] = []
    attempt = (_, given) => {
      reliefs.push(given.relief)
      throw ApplicationFailure.create({ type: 'outOfMemory', message: 'no memory' })
    }
    const failure = await failureOf((await start('memory')).result())
    assert.equal(failure.type, 'outOfMemory')
    assert.deepEqual(reliefs, [
      undefined,
      { microBatchRows: 2, layout: 'whole' },
      { microBatchRows: 1, layout: 'whole' },
      { microBatchRows: 1, layout: 'by-layer' },
      { microBatchRows: 1, layout: 'by-layer', gradientCheckpointing: 'full' },
    ])
  })

  test('tells the next one what it met', async () => {
    const told: TrainInput['after'][] = []
    attempt = (number, given) => {
      told.push(given.after)
      if (number === 1)
        throw ApplicationFailure.create({
          type: 'killed',
          message: 'killed by SIGKILL',
          details: [{ evidence: [], lost: { steps: 3, seconds: 1 } }],
        })
      if (number === 2) throw ApplicationFailure.create({ type: 'TransientError', message: 'no answer' })
      return outcome
    }
    assert.deepEqual(await (await start('after')).result(), outcome)
    assert.deepEqual(told, [
      undefined,
      { kind: 'killed', lost: { steps: 3, seconds: 1 } },
      { kind: 'transient' },
    ])
  })

  test('avoids a node with bad hardware: a worker there leaves the next attempt to others', async () => {
    const seen: [number, TrainInput['avoidNodes']][] = []
    attempt = (number, given) => {
      seen.push([number, given.avoidNodes])
      if (number === 1)
        throw ApplicationFailure.create({
          type: 'hardware',
          message: 'uncorrectable ECC error',
          details: [{ evidence: ['CUDA: uncorrectable ECC error'], avoidNode: 'node-7' }],
        })
      if (seen.length < 4) throw ApplicationFailure.create({ type: 'declined', message: 'node-7 is avoided' })
      return outcome
    }
    const handle = await start('elsewhere')
    assert.deepEqual(await handle.result(), outcome)
    // Two workers on the bad node have declined: that costs neither an attempt nor a budget.
    assert.deepEqual(seen, [
      [1, undefined],
      [2, ['node-7']],
      [2, ['node-7']],
      [2, ['node-7']],
    ])
    const { memo } = await handle.describe()
    const told = memo?.[ATTEMPTS_MEMO] as TrainingAttempts
    assert.deepEqual([told.attempts, told.avoidNodes], [2, ['node-7']])
  })

  test('is tried as often as the job allows for its kind', async () => {
    const attempts: number[] = []
    attempt = (number) => {
      attempts.push(number)
      throw ApplicationFailure.create({ type: 'killed', message: 'killed by SIGKILL' })
    }
    await failureOf((await start('budget', { retries: { killed: 2 } })).result())
    assert.deepEqual(attempts, [1, 2, 3])
  })

  test('is tried once more where it is a defect, and then given up', async () => {
    const attempts: number[] = []
    attempt = (number) => {
      attempts.push(number)
      throw new TypeError('undefined is not a function')
    }
    const failure = await failureOf((await start('defect')).result())
    assert.equal(failure.type, 'internal')
    assert.deepEqual(attempts, [1, 2])
  })
})
