import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { InputError } from '../../src/errors.ts'
import { ensureWorker } from '../ensure-worker.ts'
import { onInterrupt } from '../interrupt.ts'
import { viewJob } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

const LOOK_MILLISECONDS = 500

export function addCancelCommand(program: Command): void {
  program
    .command('cancel')
    .description('Cancel a job. It saves a checkpoint first; running it again goes on from there.')
    .argument('<job>', 'name of the job')
    .addHelpText('after', '\nExample:\n  $ temper cancel my-job')
    .action(cancel)
}

async function cancel(name: string): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const session = await openSession({ command: 'temper cancel', say, signal: interrupt })
  try {
    const view = await viewJob(session.client, name)
    if (view.state !== 'running')
      throw new InputError(`Job ${view.name} is not running: it is ${view.state}.`)
    await session.client.workflow.getHandle(view.jobId).cancel()
    // A workflow hears of its cancellation only while a worker runs.
    const worker = await ensureWorker(session, say)
    try {
      let state = view.state as string
      while (state === 'running' && !interrupt.aborted) {
        await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
        ;({ state } = await viewJob(session.client, name))
      }
      terminal.line(
        state === 'running'
          ? `Job ${view.name} is asked to stop, and will.`
          : `Job ${view.name} is ${state}. What is finished is kept: the same temper run goes on from there.`,
      )
    } finally {
      await worker?.stop()
    }
  } finally {
    await session.close()
  }
}
