import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { InputError } from '../../src/errors.ts'
import { resumeSignal } from '../../workflows/signals.ts'
import { ensureWorker } from '../ensure-worker.ts'
import { onInterrupt } from '../interrupt.ts'
import { viewJob } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

const LOOK_MILLISECONDS = 500

export function addResumeCommand(program: Command): void {
  program
    .command('resume')
    .description('Let a paused job go on from what it has saved.')
    .argument('<job>', 'name of the job')
    .addHelpText('after', '\nExample:\n  $ temper resume my-job')
    .action(resume)
}

async function resume(name: string): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const session = await openSession({ command: 'temper resume', say, signal: interrupt })
  try {
    const view = await viewJob(session.client, name)
    if (view.state !== 'running' || !view.isPaused)
      throw new InputError(`Job ${view.name} is not paused: it is ${view.state}.`)
    await session.client.workflow.getHandle(view.jobId).signal(resumeSignal)
    // A workflow hears of it only while a worker runs.
    const worker = await ensureWorker(session, say)
    try {
      while ((await viewJob(session.client, name)).isPaused && !interrupt.aborted)
        await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
      terminal.line(
        worker === undefined
          ? `Job ${view.name} goes on. Look at it with: temper status ${view.name}`
          : `Job ${view.name} goes on with the same temper run, or with temper up.`,
      )
    } finally {
      await worker?.stop()
    }
  } finally {
    await session.close()
  }
}
