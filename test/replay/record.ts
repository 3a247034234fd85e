/**
 * Records the histories that replay.test.ts replays: `node test/replay/record.ts`. Run it when the workflows do something new, under
 * a new name; a history that is there stands for jobs that may be under way and is never recorded again.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { ApplicationFailure, CancelledFailure, Context, heartbeat } from '@temporalio/activity'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import type { TrainInput } from '../../src/stages/train.ts'
import {
  JOB_ATTRIBUTE,
  STATUS_MEMO,
  type FineTuneJob,
  type JobStatus,
  trainingWorkflowId,
} from '../../workflows/job.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker } from '../support/test-worker.ts'

const folder = new URL('histories/', import.meta.url)
const { spec } = parseFineTune(
  {
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name: 'x' },
    spec: { model: { source: 'model' }, data: { train: ['rows.jsonl'] } },
  },
  'a recording',
)

let training: (input: TrainInput) => Promise<void> = () => Promise.resolve()
const made = (stage: string, summary: object = {}) => ({
  ref: { stage, digest: stage },
  skipped: false,
  summary,
})
const worker = await startTestWorker(CONTROL_QUEUE, {
  resolveModel: () =>
    made('model', { digest: 'm', training: { perDeviceTrainBatchSize: 2, layout: 'by-layer' } }),
  clean: () => made('clean'),
  tokenize: () => made('tokenize'),
  train: async (input: TrainInput) => {
    await training(input)
    return made('train')
  },
  evaluate: () => made('evaluate', { base: { loss: 2 }, tuned: { loss: 1 } }),
  merge: () => made('merge'),
  quantize: () => made('quantize'),
  publish: () => made('publish', { name: 'x', version: 1 }),
})

async function record(
  name: string,
  act: (jobId: string) => Promise<void> = () => Promise.resolve(),
  changes: Partial<FineTuneJob> = {},
) {
  const file = new URL(`${name}.json`, folder)
  if (existsSync(file)) return
  const job: FineTuneJob = {
    jobId: name,
    spec,
    trainingQueue: CONTROL_QUEUE,
    heartbeatSeconds: 5,
    searchAttributes: true,
    ...changes,
  }
  const handle = await worker.client.workflow.start('fineTune', {
    workflowId: name,
    taskQueue: CONTROL_QUEUE,
    args: [job],
    searchAttributes: { [JOB_ATTRIBUTE]: ['x'] },
  })
  await act(name)
  await handle.result().catch(() => {})
  writeFileSync(file, textOf(await handle.fetchHistory()))
  const child = worker.client.workflow.getHandle(trainingWorkflowId(name))
  writeFileSync(new URL(`${name}.train.json`, folder), textOf(await child.fetchHistory()))
  console.log(`recorded ${name}`)
}

/** Without what tells of the machine that recorded it. */
function textOf(history: object): string {
  const plain: unknown = JSON.parse(JSON.stringify(history))
  return JSON.stringify(plain, (name, value: unknown) => {
    if (name === 'identity') return 'recorder'
    return name === 'stackTrace' || name === 'stack_trace' ? '' : value
  })
}

async function untilStage(jobId: string, state: string): Promise<void> {
  for (;;) {
    const { memo } = await worker.client.workflow.getHandle(jobId).describe()
    if ((memo?.[STATUS_MEMO] as JobStatus | undefined)?.stages.some((stage) => stage.state === state)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function untilStopped(): Promise<void> {
  const beats = setInterval(() => heartbeat(), 50)
  await Context.current().cancelled.catch(() => {})
  clearInterval(beats)
  throw new CancelledFailure('saved')
}

await record('finished')

training = ({ attempt }) => {
  if (attempt === 1) throw ApplicationFailure.create({ type: 'killed', message: 'killed by SIGKILL' })
  if (attempt === 2) throw ApplicationFailure.create({ type: 'outOfMemory', message: 'no memory' })
  if (attempt === 3) throw ApplicationFailure.create({ type: 'transient', message: 'no answer' })
  return Promise.resolve()
}
await record('failures-answered')

training = () => {
  throw ApplicationFailure.create({ type: 'input', message: 'mend row 3' })
}
await record('failed')

let stops = 0
const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
training = async () => {
  begun[stops]?.resolve()
  if (stops++ < 1) await untilStopped()
}
await record('paused-and-resumed', async (jobId) => {
  await begun[0]?.promise
  const handle = worker.client.workflow.getHandle(jobId)
  await handle.signal('pause')
  await untilStage(jobId, 'paused')
  await handle.signal('resume')
})

const running = Promise.withResolvers<void>()
training = () => {
  running.resolve()
  return untilStopped()
}
await record('cancelled', async (jobId) => {
  await running.promise
  await worker.client.workflow.getHandle(jobId).cancel()
})
// A job of a cluster: its pods are reported, before and after the fact, and its priority changes while it runs.
const onPod = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
training = async ({ attempt }) => {
  onPod[attempt - 1]?.resolve()
  if (attempt < 3) await untilStopped()
}
await record(
  'reported-on',
  async (jobId) => {
    const child = worker.client.workflow.getHandle(trainingWorkflowId(jobId))
    const report = { stage: 'train', pod: 'p', ended: true, evidence: ['the pod is gone'] }
    await onPod[0]?.promise
    await child.signal('podReport', { ...report, attempt: 1 })
    await onPod[1]?.promise
    await child.signal('podReport', { ...report, attempt: 1, ended: false, kind: 'nodeLost', avoidNode: 'n' })
    await worker.client.workflow
      .getHandle(jobId)
      .signal('priority', { priority: { priorityKey: 1 }, isWaiting: false })
    await child.signal('podReport', { ...report, attempt: 2, kind: 'outOfMemory' })
  },
  { reportsPods: true, priority: { priorityKey: 4 } },
)
// A job that asks a person: rejected after a pause, and approved.
training = () => Promise.resolve()
const asks = { spec: { ...spec, publish: { ...spec.publish, approval: 'required' as const } } }
await record(
  'approved',
  async (jobId) => {
    await untilStage(jobId, 'asking')
    await worker.client.workflow.getHandle(jobId).signal('approve', { by: 'anna', comment: 'reads well' })
  },
  asks,
)
await record(
  'rejected',
  async (jobId) => {
    const handle = worker.client.workflow.getHandle(jobId)
    await untilStage(jobId, 'asking')
    await handle.signal('pause')
    await untilStage(jobId, 'paused')
    await handle.signal('resume')
    await untilStage(jobId, 'asking')
    await handle.signal('reject')
  },
  asks,
)
await worker.stop()
