import {
  ChildWorkflowCancellationType,
  executeChild,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow'
import type { Activities } from '../activities/activities.ts'
import type { LookOutcome } from '../src/nightly/look-for-rows.ts'
import type { NightRecord } from '../src/nightly/night-record.ts'
import type { ResolvedModel } from '../src/stages/resolve-model.ts'
import { attemptOptions } from './activity-options.ts'
import { failureOf, finalFailure } from './failure.ts'
import { fineTune } from './fine-tune.ts'
import type { NightlyJob } from './nightly-job.ts'
import { CONTROL_QUEUE } from './queues.ts'
import { tell } from './tell.ts'
import { withRetries } from './with-retries.ts'

type Ending = Pick<NightRecord, 'end' | 'why'> & Partial<NightRecord>
type Judged = NonNullable<Parameters<Activities['concludeNight']>[0]['judged']>

/**
 * One night of a schedule: looks for new rows, trains where they are worth it, publishes only what beats the published model,
 * and writes down what it did and why. A failed night moves neither the name nor the watermark: the next one takes both
 * nights' rows.
 */
export async function nightly(job: NightlyJob): Promise<NightRecord> {
  const { workflowId, runId } = workflowInfo()
  const name = job.spec.fineTune.publish.name
  // Colons of the time that the server appends have no place in a store's keys.
  const jobId = `finetune-${workflowId.replaceAll(/[^A-Za-z0-9._-]/g, '')}`
  const at = new Date(Date.now()).toISOString()
  const activities = proxyActivities<Activities>(attemptOptions(CONTROL_QUEUE, job.heartbeatSeconds))
  const conclude = (ending: Ending, judged?: Judged) =>
    withRetries(UNRECORDED, (attempt) =>
      activities.concludeNight({
        jobId,
        attempt,
        record: { name, schedule: job.schedule, at, night: runId, ...ending },
        ...(judged && { judged }),
      }),
    )
  try {
    const [ending, judged] = await spendNight(job, { jobId, at, activities })
    const record = await conclude(ending, judged)
    await tellAll(job, record)
    return record
  } catch (error) {
    if (isCancellation(error)) throw error
    const failure = failureOf(error)
    await tellAll(job, await conclude({ end: 'failed', why: failure.message, job: jobId }))
    throw finalFailure(failure)
  }
}

interface Night {
  jobId: string
  at: string
  activities: Activities
}

async function spendNight(job: NightlyJob, night: Night): Promise<[Ending, Judged?]> {
  const { spec } = job
  const { jobId, at, activities } = night
  const { summary: base } = await withRetries(UNRECORDED, (attempt) =>
    activities.resolveModel({
      jobId,
      attempt,
      model: spec.fineTune.model,
      train: spec.fineTune.train,
      maxLength: spec.fineTune.data.maxLength,
    }),
  )
  const look = await withRetries(UNRECORDED, (attempt) =>
    activities.lookForRows({ jobId, attempt, schedule: job.schedule, base, spec, at }),
  )
  const seen = { decision: look.decision.why, rows: look.counts }
  if (!look.decision.run) return [{ end: 'skipped', why: look.decision.text, ...seen }]
  const [ending, judged] = await challenge(job, night, base, look)
  return [{ ...seen, ...ending }, judged]
}

/** Trains a challenger, has it judged, and publishes it if it wins. */
async function challenge(
  job: NightlyJob,
  { jobId, activities }: Night,
  base: ResolvedModel,
  { snapshot, champion, chunks, continues }: LookOutcome,
): Promise<[Ending, Judged]> {
  if (snapshot === undefined) throw new Error('a night that trains has rows')
  const { spec } = job
  const { clean, tokenized } = snapshot
  const continued = continues && champion
  const { artifacts } = await executeChild(fineTune, {
    workflowId: jobId,
    taskQueue: CONTROL_QUEUE,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    args: [
      {
        jobId,
        spec: spec.fineTune,
        trainingQueue: job.trainingQueue,
        heartbeatSeconds: job.heartbeatSeconds,
        searchAttributes: job.searchAttributes,
        prepared: { clean, tokenized, ...(continued && { continueFrom: continued.adapter }) },
      },
    ],
  })
  const { verdict, evaluationSet } = await withRetries(UNRECORDED, (attempt) =>
    activities.judgeChallenger({
      jobId,
      attempt,
      base,
      spec,
      tokenized: tokenized.ref,
      challenger: artifacts.adapter,
      ...(champion && { champion }),
    }),
  )
  const ending = {
    why: verdict.text,
    data: tokenized.ref.digest,
    job: jobId,
    adapter: artifacts.adapter.digest,
    evaluationSet: evaluationSet.version,
    verdict,
    ...(champion && { champion: champion.version }),
    ...(continued && { continuedFrom: continued.version }),
  }
  const judged = { chunks, evaluationSet }
  if (!verdict.wins) return [{ ...ending, end: 'kept' }, judged]
  const published = await withRetries(UNRECORDED, (attempt) =>
    activities.publish({
      jobId,
      attempt,
      publication: workflowInfo().runId,
      name: spec.fineTune.publish.name,
      base,
      dataFiles: spec.fineTune.data.train.map((path) => path.slice(path.lastIndexOf('/') + 1) || path),
      artifacts,
      ...(continued && { continuedFrom: { version: continued.version, adapter: continued.adapter.digest } }),
    }),
  )
  return [{ ...ending, end: 'published', version: published.summary.version }, judged]
}

/** Starts the telling and waits for none of it: no receiver holds a night up, or makes it fail. */
async function tellAll(job: NightlyJob, record: NightRecord): Promise<void> {
  if (job.spec.notifications.length === 0) return
  await startChild(tell, {
    workflowId: `${workflowInfo().workflowId}.tell`,
    taskQueue: CONTROL_QUEUE,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    args: [{ record, notifications: job.spec.notifications }],
  })
}

/** Its attempts stand in no record: the night's record says how they ended. */
const UNRECORDED = { attempt: () => {}, failed: () => {} }
