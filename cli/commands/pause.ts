import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { InputError } from '../../src/errors.ts'
import { pauseSignal } from '../../workflows/signals.ts'
import { ensureWorker } from '../ensure-worker.ts'
import { onInterrupt } from '../interrupt.ts'
import { isResting, viewJob } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

const LOOK_MILLISECONDS = 500

export function addPauseCommand(program: Command): void {
  program
    .command('pause')
    .description('Pause a job. It saves a checkpoint and gives its machine back until it is resumed.')
    .argument('<job>', 'name of the job')
    .addHelpText('after', '\nExample:\n  $ temper pause my-job')
    .action(pause)
}

async function pause(name: string): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const session = await openSession({ command: 'temper pause', say, signal: interrupt })
  try {
    let view = await viewJob(session.client, name)
    if (view.state !== 'running')
      throw new InputError(`Job ${view.name} is not running: it is ${view.state}.`)
    await session.client.workflow.getHandle(view.jobId).signal(pauseSignal)
    // A workflow hears of it only while a worker runs.
    const worker = await ensureWorker(session, say)
    try {
      while (view.state === 'running' && !isResting(view) && !interrupt.aborted) {
        await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
        view = await viewJob(session.client, name)
      }
      terminal.line(
        view.state !== 'running'
          ? `Job ${view.name} was ${view.state} before it could pause.`
          : isResting(view)
            ? `Job ${view.name} is paused, nothing is lost. Go on with: temper resume ${view.name}`
            : `Job ${view.name} is asked to pause, and will.`,
      )
    } finally {
      await worker?.stop()
    }
  } finally {
    await session.close()
  }
}
