import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApplicationFailure, CancelledFailure, WorkflowFailedError } from '@temporalio/client'
import { answerJob } from '../../jobs/answer-job.ts'
import { jobIdOf } from '../../jobs/job-id.ts'
import { approvalOf, isAsking, type JobView, viewJob } from '../../jobs/job-view.ts'
import { retryJob } from '../../jobs/retry-job.ts'
import { InputError } from '../../src/errors.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import type { PublishInput } from '../../src/stages/publish.ts'
import { type FineTuneJob, JOB_ATTRIBUTE, STAGES, trainingWorkflowId } from '../../workflows/job.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'

// A job that asks before it publishes, on a real server. What the stages do is played: they are tested elsewhere.

const specWith = (approval: 'required' | 'none') =>
  parseFineTune(
    {
      apiVersion: 'temper.dev/v1alpha1',
      kind: 'FineTune',
      metadata: { name: 'x' },
      spec: { model: { source: 'model' }, data: { train: ['rows.jsonl'] }, publish: { approval } },
    },
    'a test',
  ).spec

describe('a job that asks before it publishes', { timeout: 120_000 }, () => {
  let worker: TestWorker
  /** What each activity of each job was given. */
  const given = new Map<string, Record<string, unknown>>()

  const play =
    (stage: string, summary: object = {}) =>
    (input: { jobId: string }): Promise<object> => {
      given.set(input.jobId, { ...given.get(input.jobId), [stage]: input })
      return Promise.resolve({ ref: { stage, digest: `digest-of-${stage}` }, skipped: false, summary })
    }

  before(async () => {
    worker = await startTestWorker(CONTROL_QUEUE, {
      setAside: () => Promise.resolve(),
      resolveModel: play('model', {
        digest: 'm',
        training: { perDeviceTrainBatchSize: 2, layout: 'by-layer' },
      }),
      clean: play('clean'),
      tokenize: play('tokenize'),
      train: play('train'),
      evaluate: play('evaluate', { base: { loss: 2 }, tuned: { loss: 1 } }),
      merge: play('merge'),
      quantize: play('quantize'),
      publish: play('publish', { name: 'x', version: 1 }),
    })
  })
  after(() => worker.stop())

  function start(name: string, approval: 'required' | 'none' = 'required', trainingQueue = CONTROL_QUEUE) {
    const job: FineTuneJob = {
      jobId: jobIdOf(name),
      spec: specWith(approval),
      trainingQueue,
      heartbeatSeconds: 5,
      searchAttributes: true,
    }
    return worker.client.workflow.start('fineTune', {
      workflowId: job.jobId,
      taskQueue: CONTROL_QUEUE,
      args: [job],
      searchAttributes: { [JOB_ATTRIBUTE]: [name] },
    })
  }

  const published = (name: string) => given.get(jobIdOf(name))?.['publish'] as PublishInput | undefined
  const publishStage = (view: JobView) => view.stages.at(-1)

  async function until(name: string, what: (view: JobView) => boolean): Promise<JobView> {
    for (;;) {
      const view = await viewJob(worker.client, name)
      if (what(view)) return view
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function refusal(attempt: Promise<unknown>): Promise<string> {
    const error = await attempt.then(
      () => assert.fail('it should have been refused'),
      (rejection: unknown) => rejection,
    )
    assert(error instanceof InputError, String(error))
    return error.message
  }

  test('has everything made, then waits with nothing running, and publishes when it is approved', async () => {
    const handle = await start('asks')
    // About nothing yet, so it does not count. Nor does a signal without words stop anything.
    await handle.signal('approve', { by: 'too early' })
    const asking = await until('asks', isAsking)
    assert.deepEqual(
      asking.stages.map(({ state }) => state),
      [...STAGES.slice(0, -1).map(() => 'done'), 'asking'],
    )
    assert.equal(publishStage(asking)?.attempts, 0)
    assert.equal(approvalOf(asking)?.decision, undefined)
    const { raw, searchAttributes } = await handle.describe()
    assert.deepEqual([raw.pendingActivities, raw.pendingChildren], [[], []], 'it holds no worker')
    assert.deepEqual(searchAttributes['TemperStage'], ['approval'])
    assert.equal((await worker.client.workflow.getHandle(trainingWorkflowId(asking.jobId)).describe()).status.name, 'COMPLETED') // prettier-ignore

    await answerJob(worker.client, 'asks', 'approved', { by: 'anna', comment: 'reads well' })
    assert.equal(((await handle.result()) as { published: { version: number } }).published.version, 1)
    const { at, ...approval } = published('asks')?.approval ?? { at: 0 }
    assert.deepEqual(approval, { answer: 'approved', by: 'anna', comment: 'reads well' })
    assert((approvalOf(asking)?.askedAt ?? 0) <= at && at <= Date.now())
    const done = await viewJob(worker.client, 'asks')
    assert.equal(publishStage(done)?.state, 'done')
    assert.equal(
      await refusal(answerJob(worker.client, 'asks', 'approved', {})),
      `Job asks was answered before, at ${new Date(at).toISOString()}: approved by anna: reads well.`,
    )
  })

  test('gives every stage but the publication what it would have without', async () => {
    await start('without', 'none').then((handle) => handle.result())
    const handle = await start('with')
    await until('with', isAsking)
    await answerJob(worker.client, 'with', 'approved', {})
    await handle.result()
    const inputs = (name: string): object => {
      const { publish: _, ...stages } = given.get(jobIdOf(name)) ?? {}
      return JSON.parse(JSON.stringify(stages).replaceAll(jobIdOf(name), 'job')) as object
    }
    assert.equal(Object.keys(inputs('with')).length, STAGES.length - 1)
    assert.deepEqual(inputs('with'), inputs('without'))
    assert.equal(published('without')?.approval, undefined)
  })

  test('ends without a publication when it is rejected, and asks again when it is retried', async () => {
    const handle = await start('refused')
    await until('refused', isAsking)
    await answerJob(worker.client, 'refused', 'rejected', { by: 'ben', comment: 'too long' })
    const error = await handle.result().catch((rejection: unknown) => rejection)
    assert(error instanceof WorkflowFailedError)
    assert(error.cause instanceof ApplicationFailure)
    assert.equal(error.cause.type, 'rejected')
    assert.match(error.cause.message, /^The publication was rejected by ben: too long\. Nothing is published/)
    assert.equal(published('refused'), undefined)
    const view = await viewJob(worker.client, 'refused')
    assert.equal(view.state, 'rejected')
    assert.deepEqual([publishStage(view)?.state, publishStage(view)?.failure], ['rejected', undefined])
    assert.equal(view.stages.at(-2)?.digest, 'digest-of-quantize', 'what was made stays')
    assert.match(
      await refusal(answerJob(worker.client, 'refused', 'approved', {})),
      /answered before.*rejected by ben/,
    )
    await retryJob(worker.client, 'refused', {})
    const again = await until('refused', isAsking)
    assert.equal(approvalOf(again)?.decision, undefined)
    await answerJob(worker.client, 'refused', 'approved', {})
    await worker.client.workflow.getHandle(view.jobId).result()
    assert.equal(published('refused')?.approval?.answer, 'approved')
  })

  test('takes the first answer, and keeps no more of the words than fits a line', async () => {
    const handle = await start('twice')
    await until('twice', isAsking)
    // In the workflow's order, both before it has run on; and as somebody sends them who does not use Temper.
    await handle.signal('approve', { by: `\u001b[31manna\n\tb${'.'.repeat(89)}👍`, comment: 7 })
    await handle.signal('reject', { by: 'ben' })
    await handle.signal('approve')
    await handle.result()
    const decision = approvalOf(await viewJob(worker.client, 'twice'))?.decision
    assert.equal(decision?.by, `[31manna b${'.'.repeat(89)}\ufffd`)
    assert.deepEqual([decision.answer, decision.comment], ['approved', undefined])
  })

  test('paused and resumed it asks on; answered while it is paused it goes on when it is resumed', async () => {
    const handle = await start('rests')
    const first = await until('rests', isAsking)
    const rest = async () => {
      await handle.signal('pause')
      await until('rests', (view) => publishStage(view)?.state === 'paused')
    }
    await rest()
    await handle.signal('resume')
    const again = await until('rests', isAsking)
    assert.deepEqual(approvalOf(again), approvalOf(first), 'it is the same question')
    await rest()
    await answerJob(worker.client, 'rests', 'approved', {})
    const answered = await until('rests', (view) => approvalOf(view)?.decision !== undefined)
    assert.equal(publishStage(answered)?.state, 'paused')
    assert.equal(published('rests'), undefined)
    await handle.signal('resume')
    await handle.result()
    assert.equal(published('rests')?.approval?.answer, 'approved')
  })

  test('cancelled while it waits, it ends', async () => {
    const handle = await start('cancelled')
    await until('cancelled', isAsking)
    await handle.cancel()
    const error = await handle.result().catch((rejection: unknown) => rejection)
    assert(error instanceof WorkflowFailedError)
    assert(error.cause instanceof CancelledFailure)
    const view = await viewJob(worker.client, 'cancelled')
    assert.deepEqual([view.state, publishStage(view)?.state], ['cancelled', 'cancelled'])
    assert.equal(
      await refusal(answerJob(worker.client, 'cancelled', 'approved', {})),
      'Job cancelled is not running: it is cancelled.',
    )
  })

  test('an answer is refused where nothing is asked, and where it is too long', async () => {
    assert.match(
      await refusal(answerJob(worker.client, 'nobody', 'approved', {})),
      /There is no job nobody: temper list/,
    )
    const handle = await start('unasked', 'required', 'nobody-polls-this')
    await until('unasked', ({ stages }) =>
      stages.some(({ name, state }) => name === 'train' && state === 'running'),
    )
    assert.match(
      await refusal(answerJob(worker.client, 'unasked', 'approved', {})),
      /does not wait for approval: it is at stage train\. A job asks, where its publish\.approval is required/,
    )
    assert.match(
      await refusal(answerJob(worker.client, 'unasked', 'approved', { comment: 'x'.repeat(1001) })),
      /The comment has 1001 characters; 1000 are kept/,
    )
    await handle.terminate()
  })
})
