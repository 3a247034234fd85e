import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { type JobLogLine, jobLogReader } from '../../src/stages/job-log.ts'
import { onInterrupt } from '../interrupt.ts'
import { viewJob } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

const LOOK_MILLISECONDS = 1_000

interface LogsOptions {
  follow?: boolean
  stage?: string
  json?: boolean
}

export function addLogsCommand(program: Command): void {
  program
    .command('logs')
    .description("Print a job's log, which is kept with its artifacts.")
    .argument('<job>', 'name of the job')
    .option('-f, --follow', 'go on until the job ends')
    .option('--stage <stage>', 'only this stage')
    .option('--json', 'print the lines as they are stored')
    .addHelpText('after', '\nExample:\n  $ temper logs my-job -f --stage train')
    .action(logs)
}

async function logs(name: string, options: LogsOptions): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const session = await openSession({ command: 'temper logs', say, signal: interrupt })
  try {
    let view = await viewJob(session.client, name)
    const read = jobLogReader(session.store, view.jobId)
    for (;;) {
      for (const line of await read()) {
        if (options.stage !== undefined && options.stage !== line.stage) continue
        terminal.line(options.json ? JSON.stringify(line) : textOf(line))
      }
      if (!options.follow || view.state !== 'running' || interrupt.aborted) return
      await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
      // Looked at before the next read: what was written until the job's end is then read for certain.
      view = await viewJob(session.client, name)
    }
  } finally {
    await session.close()
  }
}

function textOf({ time, stage, level, message, fields }: JobLogLine): string {
  const { stack: _, evidence: __, ...shown } = fields
  const details = Object.entries(shown).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  const mark = level === 'info' ? '' : `${level.toUpperCase()} `
  return [time, stage.padEnd(8), `${mark}${message}`, ...details].join(' ')
}
