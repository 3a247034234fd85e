import {
  ChildWorkflowCancellationType,
  executeChild,
  isCancellation,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import type { FineTuneSummary } from '../src/stages/fine-tune-summary.ts'
import { attemptOptions } from './activity-options.ts'
import { failureOf } from './failure.ts'
import { halving } from './halving.ts'
import { type FineTuneJob, trainingWorkflowId } from './job.ts'
import { JobRecord } from './job-record.ts'
import { CONTROL_QUEUE } from './queues.ts'
import { train } from './train.ts'
import { withRetries } from './with-retries.ts'

/**
 * One fine-tune: from rows to a published model. Every stage's artifact is known by the digest of what it was made from, so a
 * stage that was done before, by this job or another, is skipped inside its activity.
 */
export async function fineTune(job: FineTuneJob): Promise<FineTuneSummary> {
  const { spec, jobId } = job
  const activities = proxyActivities<Activities>(attemptOptions(CONTROL_QUEUE, job.heartbeatSeconds))
  const record = new JobRecord(job)
  const continueFrom = job.prepared?.continueFrom
  let isRewound = false

  const model = await record.stage('model', async (stage) => {
    const { again } = job
    if (again && again.setAside.length > 0)
      await withRetries(stage, (attempt) =>
        activities.setAside({ jobId, attempt, artifacts: again.setAside }),
      )
    return withRetries(stage, (attempt, after) =>
      activities.resolveModel({
        jobId,
        attempt,
        ...(after && { after }),
        model: spec.model,
        train: spec.train,
        maxLength: spec.data.maxLength,
      }),
    )
  })
  const base = model.summary
  const clean = await record.stage(
    'clean',
    async (stage) =>
      job.prepared?.clean ??
      withRetries(stage, (attempt, after) =>
        activities.clean({ jobId, attempt, ...(after && { after }), data: spec.data }),
      ),
  )
  const tokenized = await record.stage(
    'tokenize',
    async (stage) =>
      job.prepared?.tokenized ??
      withRetries(stage, (attempt, after) =>
        activities.tokenize({
          jobId,
          attempt,
          ...(after && { after }),
          base,
          clean: clean.ref,
          data: spec.data,
        }),
      ),
  )
  const trained = await record.stage('train', async (stage) => {
    const step = job.again?.checkpoint
    // Once: after a pause training goes on from where it was.
    if (step !== undefined && !isRewound) {
      await withRetries(stage, (attempt) =>
        activities.rewindTraining({
          jobId,
          attempt,
          base,
          tokenized: tokenized.ref,
          ...(continueFrom && { continueFrom }),
          step,
        }),
      )
      isRewound = true
    }
    stage.attempt(1)
    return onQueues(trainingQueues(job), (queue) =>
      executeChild(train, {
        workflowId: trainingWorkflowId(jobId),
        taskQueue: queue,
        cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
        ...(record.priority && { priority: record.priority }),
        args: [
          {
            input: {
              jobId,
              attempt: 1,
              base,
              tokenized: tokenized.ref,
              ...(continueFrom && { continueFrom }),
            },
            queue,
            heartbeatSeconds: job.heartbeatSeconds,
            retries: spec.train.retries,
            ...record.failuresOf('train'),
            ...(job.reportsPods && { reportsPods: true }),
          },
        ],
      }),
    )
  })
  const measuring = halving(spec.eval.batchSize)
  const evaluated = await record.stage('evaluate', (stage) =>
    withRetries(
      stage,
      (attempt, after) =>
        activities.evaluate({
          jobId,
          attempt,
          ...(after && { after }),
          base,
          tokenized: tokenized.ref,
          adapter: trained.ref,
          settings: { ...spec.eval, batchSize: measuring.rows() },
        }),
      measuring.rules,
    ),
  )
  const merged = await record.stage('merge', (stage) =>
    withRetries(
      stage,
      (attempt, after) =>
        activities.merge({
          jobId,
          attempt,
          ...(after && { after }),
          base,
          tokenized: tokenized.ref,
          adapter: trained.ref,
          settings: spec.merge,
          batchSize: measuring.rows(),
          tunedLoss: evaluated.summary.tuned.loss,
        }),
      measuring.rules,
    ),
  )
  const quantized = await record.stage('quantize', (stage) =>
    withRetries(
      stage,
      (attempt, after) =>
        activities.quantize({
          jobId,
          attempt,
          ...(after && { after }),
          base,
          tokenized: tokenized.ref,
          merged: merged.ref,
          settings: spec.quantize,
          batchSize: measuring.rows(),
          name: spec.publish.name,
        }),
      measuring.rules,
    ),
  )
  const artifacts = {
    clean: clean.ref,
    tokenized: tokenized.ref,
    adapter: trained.ref,
    evaluation: evaluated.ref,
    merged: merged.ref,
    ...(quantized.ref && { quantized: quantized.ref }),
  }
  const summary = { artifacts, evaluation: evaluated.summary, training: trained.summary }
  if (job.prepared) return summary
  const published = await record.stage('publish', async (stage) => {
    const approval = await record.approval()
    return withRetries(stage, (attempt, after) =>
      activities.publish({
        jobId,
        attempt,
        ...(after && { after }),
        publication: workflowInfo().runId,
        name: spec.publish.name,
        base,
        dataFiles: spec.data.train.map((path) => path.slice(path.lastIndexOf('/') + 1)),
        artifacts,
        ...(approval && { approval }),
      }),
    )
  })
  return { ...summary, published: published.summary }
}

/** Where training may run, the smallest class of machine first. */
function trainingQueues({ trainingQueue, spec }: FineTuneJob): string[] {
  return [trainingQueue, ...spec.train.largerQueues]
}

/** Runs on the first queue, and on the next one where that has not the memory. */
async function onQueues<T>(queues: readonly string[], run: (queue: string) => Promise<T>): Promise<T> {
  const [queue, ...larger] = queues
  if (queue === undefined) throw new Error('no training queue')
  try {
    return await run(queue)
  } catch (error) {
    if (isCancellation(error) || larger.length === 0 || failureOf(error).kind !== 'outOfMemory') throw error
    return onQueues(larger, run)
  }
}
