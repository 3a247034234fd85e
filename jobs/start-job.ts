import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client'
import type { fineTune } from '../workflows/fine-tune.ts'
import { type FineTuneJob, JOB_ATTRIBUTE, SPEC_MEMO } from '../workflows/job.ts'
import { CONTROL_QUEUE } from '../workflows/queues.ts'

interface StartOptions {
  /** What people call it. */
  name: string
  specDigest: string
  /** One that has ended may be begun anew. */
  again: boolean
}

/** Starts a job's workflow; false where one of this id runs already, or has ended and may not be begun anew. */
export async function startJob(
  client: Client,
  job: FineTuneJob,
  { name, specDigest, again }: StartOptions,
): Promise<boolean> {
  try {
    await client.workflow.start<typeof fineTune>('fineTune', {
      workflowId: job.jobId,
      taskQueue: CONTROL_QUEUE,
      args: [job],
      memo: { [SPEC_MEMO]: specDigest },
      ...(job.searchAttributes && { searchAttributes: { [JOB_ATTRIBUTE]: [name] } }),
      ...(job.priority && { priority: job.priority }),
      workflowIdReusePolicy: again ? 'ALLOW_DUPLICATE' : 'REJECT_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
    })
    return true
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false
    throw error
  }
}
