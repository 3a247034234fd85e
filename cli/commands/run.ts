import type { Command } from 'commander'
import { startInBackground } from '../background.ts'
import { runOnCluster } from '../cluster/run-on-cluster.ts'
import { isServed } from '../ensure-worker.ts'
import { onInterrupt } from '../interrupt.ts'
import { DEFAULT_HEARTBEAT_SECONDS, parsePort, parseSeconds } from '../options.ts'
import { type Outputs, openOutputs } from '../outputs.ts'
import { readJob } from '../read-job.ts'
import { reportEnd } from '../report-end.ts'
import { runJob } from '../run-job.ts'
import { type Session, openSession } from '../session.ts'
import { type JobRequest, submitJob } from '../submit-job.ts'

interface RunOptions {
  detach?: boolean
  json?: boolean
  port?: number
  heartbeatTimeout: number
  onCluster?: boolean
  namespace?: string
  context?: string
}

export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description('Run a fine-tune to its end, or go on with it where it was.')
    .argument('<job.yaml>', 'the job')
    .option('-d, --detach', 'leave it to a worker in the background and return')
    .option('--json', 'print one closing line of JSON; everything else goes to stderr')
    .option('--port <port>', 'port of the Temporal server that is started', parsePort)
    .option(
      '--heartbeat-timeout <seconds>',
      'how long a silent worker is waited for before its work goes to another',
      parseSeconds,
      DEFAULT_HEARTBEAT_SECONDS,
    )
    .option('--on-cluster', 'apply it as a FineTune with your kubeconfig, and follow it there')
    .option('-n, --namespace <namespace>', 'of the cluster')
    .option('--context <context>', 'of the kubeconfig')
    .addHelpText(
      'after',
      '\nExamples:\n  $ temper run job.yaml\n  $ temper run job.yaml --detach && temper logs my-job -f\n  $ temper run job.yaml --on-cluster --namespace team',
    )
    .action(run)
}

async function run(file: string, options: RunOptions): Promise<void> {
  if (options.onCluster) return runOnCluster(file, options)
  const outputs = openOutputs(options.json ?? false)
  const request = { ...(await readJob(file)), heartbeatSeconds: options.heartbeatTimeout }
  const interrupt = onInterrupt()
  const session = await openSession({
    command: 'temper run',
    say: outputs.say,
    signal: interrupt,
    ...(options.port !== undefined && { port: options.port }),
  })
  try {
    if (options.detach) {
      await detach(session, request, outputs)
      return
    }
    const end = await runJob(session, request, outputs.terminal, interrupt)
    await reportEnd(session, request.name, end, `temper run ${file}`, outputs)
  } finally {
    await session.close()
  }
}

async function detach(session: Session, request: JobRequest, outputs: Outputs): Promise<void> {
  const { attached } = await submitJob(session, request)
  const { name } = request
  if (!(await isServed(session))) {
    const pid = await startInBackground(session)
    outputs.say(`A worker runs in the background (process ${pid}); "temper down" stops it.`)
  }
  outputs.terminal.line(
    `Job ${name} ${attached ? 'goes on' : 'is started'}. Look at it with: temper status ${name}`,
  )
  outputs.json({ job: name, state: 'running' })
}
