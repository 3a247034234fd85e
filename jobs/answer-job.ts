import { type Client, WorkflowNotFoundError } from '@temporalio/client'
import { InputError } from '../src/errors.ts'
import { type Decision, decisionText, MAX_BY, MAX_COMMENT } from '../src/stages/decision.ts'
import type { PersonsWords } from '../workflows/approval-request.ts'
import { approveSignal, rejectSignal } from '../workflows/signals.ts'
import { approvalOf, type JobView, viewJob } from './job-view.ts'

/** The workflow's signal of an answer. */
export const SIGNAL_OF: Record<Decision['answer'], string> = {
  approved: approveSignal,
  rejected: rejectSignal,
}

/**
 * Answers a job that asks whether it may publish. A signal, which the server keeps until a worker is up to hear it. InputError
 * where there is no such job, or where it does not ask.
 */
export async function answerJob(
  client: Client,
  nameOrId: string,
  answer: Decision['answer'],
  words: PersonsWords,
): Promise<JobView> {
  requireShort('name', words.by, MAX_BY)
  requireShort('comment', words.comment, MAX_COMMENT)
  const view = await viewJob(client, nameOrId)
  requireOpen(view)
  try {
    // This run of the job and no other: what was looked at is what is answered.
    await client.workflow.getHandle(view.jobId, view.runId).signal(SIGNAL_OF[answer], words)
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error
    requireOpen(await viewJob(client, nameOrId))
    throw error
  }
  return view
}

function requireOpen(view: JobView): void {
  const { name, state } = view
  const approval = approvalOf(view)
  if (approval?.decision)
    throw new InputError(
      `Job ${name} was answered before, at ${new Date(approval.decision.at).toISOString()}: ${decisionText(approval.decision)}.`,
    )
  if (state !== 'running') throw new InputError(`Job ${name} is not running: it is ${state}.`)
  if (view.isStopping) throw new InputError(`Job ${name} is being cancelled.`)
  if (approval) return
  const at = view.stages.find((stage) => stage.state !== 'done' && stage.state !== 'skipped')?.name
  throw new InputError(
    `Job ${name} does not wait for approval: it is at stage ${at ?? 'model'}. A job asks, where its publish.approval is required, before it publishes.`,
  )
}

function requireShort(what: string, text: string | undefined, most: number): void {
  if (text !== undefined && text.length > most)
    throw new InputError(`The ${what} has ${text.length} characters; ${most} are kept with a job.`)
}
