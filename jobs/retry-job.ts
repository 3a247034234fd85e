import { type Client, defaultPayloadConverter } from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import type { ArtifactRef } from '../src/store/artifact.ts'
import { type FineTuneJob, type StageName, STAGES } from '../workflows/job.ts'
import { type JobView, viewJob } from './job-view.ts'
import { startJob } from './start-job.ts'

export interface RetryRequest {
  /** This stage and all after it are done again, whatever they have made before. */
  fromStage?: StageName
  /** Training begins with the checkpoint of this step; 0: anew. */
  checkpoint?: number
}

/**
 * Begins a job that has ended once more, as it was submitted. What it has made counts, so that it goes on where it failed, except
 * for what the request gives up. InputError where the job is under way or its rows were somebody else's.
 */
export async function retryJob(client: Client, nameOrId: string, request: RetryRequest): Promise<JobView> {
  const view = await viewJob(client, nameOrId)
  const { name } = view
  if (view.state === 'running')
    throw new InputError(
      `Job ${name} is under way: stop it first with "temper cancel ${name}", then retry it.`,
    )
  const { again: _, ...job } = await submittedJob(client, view)
  if (job.prepared)
    throw new InputError(
      `Job ${name} is a night of a schedule: start the next one with "temper schedule trigger".`,
    )
  const again = whatIsGivenUp(view, request)
  const started = await startJob(
    client,
    { ...job, again },
    { name, specDigest: view.specDigest ?? '', again: true },
  )
  if (!started) throw new InputError(`Job ${name} has just been started by somebody else.`)
  return viewJob(client, name)
}

function whatIsGivenUp(
  view: JobView,
  { fromStage, checkpoint }: RetryRequest,
): FineTuneJob['again'] & object {
  // An earlier checkpoint ends with another adapter, or with the same one once more: what came of the first counts no more.
  const from = fromStage ?? (checkpoint === undefined ? undefined : 'train')
  const first = from === undefined ? STAGES.length : STAGES.indexOf(from)
  const setAside = view.stages.flatMap(({ name, digest }): ArtifactRef[] =>
    digest !== undefined && STAGES.indexOf(name) >= first ? [{ stage: name, digest }] : [],
  )
  // Training that is done again begins anew, unless it is told where.
  const step = checkpoint ?? (first <= STAGES.indexOf('train') ? 0 : undefined)
  return { setAside, ...(step !== undefined && { checkpoint: step }) }
}

/** What the job was started with, from its history. */
async function submittedJob(client: Client, { jobId, runId, name }: JobView): Promise<FineTuneJob> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: jobId, runId },
    maximumPageSize: 1,
  })
  const [payload] = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? []
  if (!payload) throw new InputError(`The history of job ${name} is gone: run it again from its file.`)
  return defaultPayloadConverter.fromPayload<FineTuneJob>(payload)
}
