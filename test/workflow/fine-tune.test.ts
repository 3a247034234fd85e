import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  ApplicationFailure,
  CancelledFailure as CancelledActivity,
  Context,
  heartbeat,
} from '@temporalio/activity'
import { CancelledFailure, WorkflowFailedError } from '@temporalio/client'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import type { FineTuneJob, JobStatus } from '../../workflows/job.ts'
import { JOB_ATTRIBUTE, STAGES, STATUS_MEMO, trainingWorkflowId } from '../../workflows/job.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'

// The order of the stages and what the job tells of itself. What the stages do is played: they are tested elsewhere.

const { spec } = parseFineTune(
  {
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name: 'x' },
    spec: { model: { source: 'model' }, data: { train: ['rows.jsonl'] } },
  },
  'a test',
)

describe('a fine-tune', { timeout: 120_000 }, () => {
  let worker: TestWorker
  const played: string[] = []
  let duringTraining: () => Promise<void> = () => Promise.resolve()

  const play =
    (stage: string, summary: object = {}) =>
    (): Promise<object> => {
      played.push(stage)
      return Promise.resolve({ ref: { stage, digest: `digest-of-${stage}` }, skipped: false, summary })
    }

  before(async () => {
    worker = await startTestWorker(CONTROL_QUEUE, {
      resolveModel: play('model', {
        digest: 'm',
        training: { perDeviceTrainBatchSize: 2, layout: 'by-layer' },
      }),
      clean: play('clean', { kept: 9 }),
      tokenize: play('tokenize'),
      train: async () => {
        await duringTraining()
        return play('train')()
      },
      evaluate: play('evaluate', { base: { loss: 2 }, tuned: { loss: 1 } }),
      merge: play('merge'),
      quantize: play('quantize'),
      publish: play('publish', { name: 'x', version: 1 }),
    })
  })
  after(() => worker.stop())

  function start(jobId: string, training: object = {}) {
    const job: FineTuneJob = {
      jobId,
      spec: { ...spec, train: { ...spec.train, ...training } },
      trainingQueue: CONTROL_QUEUE,
      heartbeatSeconds: 5,
      searchAttributes: true,
    }
    return worker.client.workflow.start('fineTune', {
      workflowId: jobId,
      taskQueue: CONTROL_QUEUE,
      args: [job],
      searchAttributes: { [JOB_ATTRIBUTE]: ['x'] },
    })
  }

  const statesOf = (status: JobStatus) => status.stages.map((stage) => stage.state)

  test('runs its stages in their order, hands on references, and keeps a short history', async () => {
    // Hundreds of heartbeats, as a long training sends them.
    duringTraining = async () => {
      for (let step = 0; step < 300; step++) heartbeat({ phase: 'train', done: step })
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    const handle = await start('whole')
    const result = (await handle.result()) as { artifacts: object }
    assert.deepEqual(played, [...STAGES])
    assert.deepEqual(result.artifacts, {
      clean: { stage: 'clean', digest: 'digest-of-clean' },
      tokenized: { stage: 'tokenize', digest: 'digest-of-tokenize' },
      adapter: { stage: 'train', digest: 'digest-of-train' },
      evaluation: { stage: 'evaluate', digest: 'digest-of-evaluate' },
      merged: { stage: 'merge', digest: 'digest-of-merge' },
      quantized: { stage: 'quantize', digest: 'digest-of-quantize' },
    })
    const status = await handle.query<JobStatus>('status')
    assert.deepEqual(new Set(statesOf(status)), new Set(['done']))
    assert.deepEqual(status.stages[1]?.summary, { kept: 9 })
    const { memo, historyLength } = await handle.describe()
    assert.deepEqual(memo?.[STATUS_MEMO], status, 'the memo says the same, without a worker')
    const training = await worker.client.workflow.getHandle(trainingWorkflowId('whole')).describe()
    assert(
      historyLength + training.historyLength < 150,
      `${historyLength} + ${training.historyLength} events`,
    )
  })

  test('pauses: its training ends, nothing runs, and resumed the same stage goes on', async () => {
    const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let trainings = 0
    duringTraining = async () => {
      begun[trainings++]?.resolve()
      if (trainings > 1) return
      const beats = setInterval(() => heartbeat(), 50)
      await Context.current().cancelled.catch(() => {})
      clearInterval(beats)
      throw new CancelledActivity('saved')
    }
    const handle = await start('paused')
    await begun[0]?.promise
    await handle.signal('pause')
    const training = worker.client.workflow.getHandle(trainingWorkflowId('paused'))
    await assert.rejects(training.result())
    const paused = await until(async () => {
      const status = await handle.query<JobStatus>('status')
      return statesOf(status)[3] === 'paused' ? status : undefined
    })
    assert.equal(paused.paused, true)
    assert.equal((await handle.describe()).raw.pendingActivities?.length ?? 0, 0)
    await handle.signal('resume')
    await handle.result()
    assert.equal(trainings, 2)
    const status = await handle.query<JobStatus>('status')
    assert.deepEqual(new Set(statesOf(status)), new Set(['done']))
    assert.equal(status.paused, false)
  })

  test('cancelled while it is paused, it ends', async () => {
    duringTraining = () => Promise.resolve()
    const handle = await start('paused-cancelled')
    await handle.signal('pause')
    await until(
      async () =>
        (await handle.query<JobStatus>('status')).stages.some(({ state }) => state === 'paused') || undefined,
    )
    await handle.cancel()
    await assert.rejects(handle.result(), (error) => {
      assert(error instanceof WorkflowFailedError)
      return error.cause instanceof CancelledFailure
    })
  })

  test('goes to the next larger queue where no smaller micro-batch fits, and remembers what that cost', async () => {
    duringTraining = () => {
      throw ApplicationFailure.create({
        type: 'outOfMemory',
        message: 'no memory',
        details: [{ evidence: ['exit code 12'], lost: { steps: 2, seconds: 1 } }],
      })
    }
    const handle = await start('larger', { largerQueues: ['larger-machines'] })
    const training = worker.client.workflow.getHandle(trainingWorkflowId('larger'))
    await until(async () => {
      const { taskQueue } = await training.describe().catch(() => ({ taskQueue: '' }))
      return taskQueue === 'larger-machines' || undefined
    })
    const { stages } = await handle.query<JobStatus>('status')
    // Two rows, one row, and one row with full gradient checkpointing: then this machine has nothing smaller.
    assert.deepEqual(stages[3]?.failures, { outOfMemory: { times: 3, steps: 6, seconds: 3 } })
    assert.deepEqual(stages[3]?.failure?.evidence, ['exit code 12'])
    await handle.terminate()
  })

  test('is cancelled through its training, which is given time to save its state', async () => {
    const begun = Promise.withResolvers<void>()
    let saved = false
    duringTraining = async () => {
      begun.resolve()
      const beats = setInterval(() => heartbeat(), 50)
      await Context.current().cancelled.catch(() => {})
      clearInterval(beats)
      await new Promise((resolve) => setTimeout(resolve, 200))
      saved = true
      throw new CancelledActivity('saved')
    }
    const handle = await start('cancelled')
    await begun.promise
    await handle.cancel()
    await assert.rejects(handle.result(), (error) => {
      assert(error instanceof WorkflowFailedError)
      return error.cause instanceof CancelledFailure
    })
    assert(saved, 'the job ends after its training, not before')
    const { memo } = await handle.describe()
    const states = statesOf(memo?.[STATUS_MEMO] as JobStatus)
    assert.deepEqual(states.slice(2, 5), ['done', 'cancelled', 'waiting'])
  })
})

/** Waits until a look finds something. */
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let looks = 0; looks < 300; looks++) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return assert.fail('waited in vain')
}
