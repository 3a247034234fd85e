import { userInfo } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { answerJob } from '../../jobs/answer-job.ts'
import { approvalOf, isResting, type JobView, viewJob } from '../../jobs/job-view.ts'
import { InputError } from '../../src/errors.ts'
import { type Decision, decisionText } from '../../src/stages/decision.ts'
import { ensureWorker } from '../ensure-worker.ts'
import { followJob } from '../follow-job.ts'
import { onInterrupt } from '../interrupt.ts'
import { jobResult } from '../job-result.ts'
import { type Outputs, openOutputs } from '../outputs.ts'
import { reportEnd } from '../report-end.ts'
import { openSession, type Session } from '../session.ts'

const LOOK_MILLISECONDS = 500

interface AnswerOptions {
  by?: string
  comment?: string
  json?: boolean
}

export function addApproveCommand(program: Command): void {
  addAnswerCommand(program, 'approve', {
    answer: 'approved',
    description: 'Let a job publish that waits for approval, and follow it until it has.',
    example: '--comment "reads well"',
  })
}

export function addRejectCommand(program: Command): void {
  addAnswerCommand(program, 'reject', {
    answer: 'rejected',
    description: 'End a job that waits for approval: nothing is published, what it has made stays.',
    example: '--comment "answers too long"',
  })
}

function addAnswerCommand(
  program: Command,
  name: string,
  { answer, description, example }: { answer: Decision['answer']; description: string; example: string },
): void {
  program
    .command(name)
    .description(description)
    .argument('<job>', 'name of the job')
    .option('--by <name>', 'who says so (default: your login name); kept with the job, checked by nobody')
    .option('--comment <text>', 'why; kept with the job')
    .option('--json', 'print one closing line of JSON; everything else goes to stderr')
    .addHelpText('after', `\nExample:\n  $ temper ${name} my-job ${example}`)
    .action((job: string, options: AnswerOptions) => answerQuestion(job, answer, options))
}

async function answerQuestion(
  job: string,
  answer: Decision['answer'],
  options: AnswerOptions,
): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const interrupt = onInterrupt()
  const command = `temper ${answer === 'approved' ? 'approve' : 'reject'}`
  const session = await openSession({ command, say: outputs.say, signal: interrupt })
  try {
    const by = options.by ?? loginName()
    const { name } = await answerJob(session.client, job, answer, {
      ...(by !== undefined && { by }),
      ...(options.comment !== undefined && { comment: options.comment }),
    })
    // A workflow hears of it only while a worker runs; and a worker publishes.
    const worker = await ensureWorker(session, outputs.say)
    try {
      const view = await untilHeard(session, name, interrupt)
      const { decision } = approvalOf(view) ?? {}
      if (decision !== undefined && decision.answer !== answer)
        throw new InputError(`Somebody else was first: job ${name} was ${decisionText(decision)}.`)
      await tellEnd(session, view, { answer, isHeard: decision !== undefined, interrupt, outputs })
    } finally {
      await worker?.stop()
    }
  } finally {
    await session.close()
  }
}

async function untilHeard(session: Session, name: string, interrupt: AbortSignal): Promise<JobView> {
  for (;;) {
    const view = await viewJob(session.client, name)
    if (view.state !== 'running' || approvalOf(view)?.decision || interrupt.aborted) return view
    await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
  }
}

async function tellEnd(
  session: Session,
  heard: JobView,
  {
    answer,
    isHeard,
    interrupt,
    outputs,
  }: { answer: Decision['answer']; isHeard: boolean; interrupt: AbortSignal; outputs: Outputs },
): Promise<void> {
  const { name } = heard
  const { terminal, json } = outputs
  const tell = (line: string, state: string): void => {
    terminal.line(line)
    json({ job: name, state })
  }
  if (!isHeard)
    return tell(
      heard.state === 'running'
        ? `Job ${name} is told that it is ${answer}, and will hear it.`
        : `Job ${name} was ${heard.state} before it could hear.`,
      heard.state,
    )
  if (isResting(heard)) {
    const then = answer === 'approved' ? 'publishes' : 'ends'
    return tell(`Job ${name} is ${answer}; paused, it ${then} after: temper resume ${name}`, 'paused')
  }
  const view = await followJob(session.client, name, terminal, interrupt)
  if (view.state === 'rejected')
    return tell(
      `Job ${name} is rejected: nothing is published, what it has made stays. Ask again with: temper retry ${name}`,
      'rejected',
    )
  if (view.state === 'running')
    return tell(`Job ${name} is ${answer}. Look at it with: temper status ${name}`, 'running')
  const result = await jobResult(session.client, name)
  await reportEnd(session, name, { kind: 'finished', view, result }, `temper approve ${name}`, outputs)
}

/** A process in a container may have a user without a name. */
function loginName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
