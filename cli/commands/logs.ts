import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { type JobLogLine, jobLogReader } from '../../src/stages/job-log.ts'
import { onInterrupt } from '../interrupt.ts'
import { InputError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import { openCluster } from '../cluster/open-cluster.ts'
import { endOf, readResource } from '../cluster/resources.ts'
import { jobIdOf } from '../../jobs/job-id.ts'
import { viewJob } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

const LOOK_MILLISECONDS = 1_000

interface LogsOptions {
  follow?: boolean
  stage?: string
  json?: boolean
  onCluster?: boolean
  namespace?: string
  context?: string
}

export function addLogsCommand(program: Command): void {
  program
    .command('logs')
    .description("Print a job's log, which is kept with its artifacts.")
    .argument('<job>', 'name of the job')
    .option('-f, --follow', 'go on until the job ends')
    .option('--stage <stage>', 'only this stage')
    .option('--json', 'print the lines as they are stored')
    .option('--on-cluster', 'the log of a FineTune: read from the store (TEMPER_STORE), so it outlives pods')
    .option('-n, --namespace <namespace>', 'of the cluster')
    .option('--context <context>', 'of the kubeconfig')
    .addHelpText(
      'after',
      '\nExamples:\n  $ temper logs my-job -f --stage train\n  $ TEMPER_STORE=s3://bucket/temper temper logs my-job -f --on-cluster',
    )
    .action(logs)
}

async function logs(name: string, options: LogsOptions): Promise<void> {
  const { terminal, say } = openOutputs(false)
  const interrupt = onInterrupt()
  const source = options.onCluster ? await clusterLog(name, options) : await sessionLog(name, say, interrupt)
  try {
    for (;;) {
      // Looked at before the read: what was written until the job's end is then read for certain.
      const isRunning = await source.isRunning()
      for (const line of await source.read()) {
        if (options.stage !== undefined && options.stage !== line.stage) continue
        terminal.line(options.json ? JSON.stringify(line) : textOf(line))
      }
      if (!options.follow || !isRunning || interrupt.aborted) return
      await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
    }
  } finally {
    await source.close()
  }
}

interface LogSource {
  isRunning(): Promise<boolean>
  read(): Promise<JobLogLine[]>
  close(): Promise<void>
}

async function sessionLog(
  name: string,
  say: (message: string) => void,
  signal: AbortSignal,
): Promise<LogSource> {
  const session = await openSession({ command: 'temper logs', say, signal })
  try {
    const { jobId } = await viewJob(session.client, name)
    return {
      isRunning: async () => (await viewJob(session.client, name)).state === 'running',
      read: jobLogReader(session.store, jobId),
      close: () => session.close(),
    }
  } catch (error) {
    await session.close()
    throw error
  }
}

/** Neither Temporal nor a pod is asked: the resource says whether it runs, and the store has the log. */
async function clusterLog(name: string, options: LogsOptions): Promise<LogSource> {
  const { TEMPER_STORE: uri } = process.env
  if (!uri)
    throw new InputError('TEMPER_STORE is not set: give the store of the cluster, s3://bucket/prefix.')
  const cluster = await openCluster(options)
  const { metadata } = await readResource(cluster, name)
  return {
    isRunning: async () => endOf(await readResource(cluster, name)) === undefined,
    read: jobLogReader(await openStore(uri), jobIdOf(metadata.uid)),
    close: () => Promise.resolve(),
  }
}

function textOf({ time, stage, level, message, fields }: JobLogLine): string {
  const { stack: _, evidence: __, ...shown } = fields
  const details = Object.entries(shown).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  const mark = level === 'info' ? '' : `${level.toUpperCase()} `
  return [time, stage.padEnd(8), `${mark}${message}`, ...details].join(' ')
}
