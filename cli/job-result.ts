import { ApplicationFailure, CancelledFailure, type Client, WorkflowFailedError } from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import type { fineTune } from '../workflows/fine-tune.ts'
import type { FineTuneSummary } from '../src/stages/fine-tune-summary.ts'
import { JobFailedError } from './errors.ts'
import { jobIdOf } from '../jobs/job-id.ts'

/** The result of a closed job, or its failure as an error with the sentence to show. */
export async function jobResult(client: Client, name: string): Promise<FineTuneSummary> {
  try {
    return await client.workflow.getHandle<typeof fineTune>(jobIdOf(name)).result()
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error
    const { cause } = error
    if (cause instanceof CancelledFailure) throw new JobFailedError(`Job ${name} was cancelled.`)
    if (!(cause instanceof ApplicationFailure)) {
      throw new JobFailedError(`Job ${name} ended without a result: ${cause?.message ?? error.message}`)
    }
    if (cause.type === 'rejected') throw new JobFailedError(cause.message)
    if (cause.type === 'input') throw new InputError(cause.message, { cause: error })
    throw new JobFailedError(`${cause.message} (what happened before: temper logs ${name})`, { cause: error })
  }
}
