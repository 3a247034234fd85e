import { join, relative } from 'node:path'
import type { Command } from 'commander'
import { quickstartModel } from '../../src/local/quickstart-model.ts'
import { downloadCache } from '../../src/local/state-folder.ts'
import { onInterrupt } from '../interrupt.ts'
import { DEFAULT_HEARTBEAT_SECONDS, parsePort } from '../options.ts'
import { openOutputs } from '../outputs.ts'
import { QUICKSTART_NAME, writeQuickstartJob } from '../quickstart-job.ts'
import { readJob } from '../read-job.ts'
import { reportAnswers } from '../report-answers.ts'
import { reportEnd } from '../report-end.ts'
import { runJob } from '../run-job.ts'
import { openSession } from '../session.ts'

export function addQuickstartCommand(program: Command): void {
  program
    .command('quickstart')
    .description('Set everything up and fine-tune a small model on questions about the Kubernetes API.')
    .option('--json', 'print one closing line of JSON; everything else goes to stderr')
    .option('--port <port>', 'port of the Temporal server that is started', parsePort)
    .addHelpText('after', '\nExample:\n  $ npx temper quickstart')
    .action(quickstart)
}

async function quickstart(options: { json?: boolean; port?: number }): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const { terminal, say } = outputs
  const interrupt = onInterrupt()
  const session = await openSession({
    command: 'temper quickstart',
    say,
    signal: interrupt,
    ...(options.port !== undefined && { port: options.port }),
  })
  try {
    say(`Temporal at ${session.server.address}, ${session.server.from}.`)
    const model = await quickstartModel({
      environment: process.env,
      cacheDir: downloadCache(process.env),
      say,
      signal: interrupt,
    })
    say(`Base model: SmolLM2-135M-Instruct from ${model.from}.`)
    const file = writeQuickstartJob(join(session.state.root, 'quickstart'), model)
    const shown = relative(process.cwd(), file)
    say(`The job: ${shown}`)
    const request = { ...(await readJob(file)), heartbeatSeconds: DEFAULT_HEARTBEAT_SECONDS }
    const end = await runJob(session, request, terminal, interrupt)
    if (end.kind === 'finished') await reportAnswers(session, end.result, terminal)
    await reportEnd(session, QUICKSTART_NAME, end, 'temper quickstart', outputs)
    if (end.kind === 'finished') {
      terminal.line()
      terminal.line('Next:')
      terminal.line(`  temper run ${shown}   after an edit: only what changed is done again`)
      terminal.line(`  temper logs ${QUICKSTART_NAME} --stage train`)
      terminal.line('  temper list')
    }
  } finally {
    await session.close()
  }
}
