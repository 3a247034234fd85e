import { type Command, InvalidArgumentError, Option } from 'commander'
import { retryJob } from '../../jobs/retry-job.ts'
import { type StageName, STAGES } from '../../workflows/job.ts'
import { startInBackground } from '../background.ts'
import { isServed } from '../ensure-worker.ts'
import { onInterrupt } from '../interrupt.ts'
import { openOutputs } from '../outputs.ts'
import { reportEnd } from '../report-end.ts'
import { serveJob } from '../run-job.ts'
import { openSession } from '../session.ts'

interface RetryOptions {
  fromStage?: StageName
  checkpoint?: number
  detach?: boolean
  json?: boolean
}

export function addRetryCommand(program: Command): void {
  program
    .command('retry')
    .description(
      'Begin a job that has ended once more, as it was submitted. What it has made counts, unless told otherwise.',
    )
    .argument('<job>', 'name of the job')
    .addOption(new Option('--from-stage <stage>', 'do this stage and all after it again').choices(STAGES))
    .option(
      '--checkpoint <step>',
      'let training go on from the checkpoint of this step (0: anew), and do all after it again',
      parseStep,
    )
    .option('-d, --detach', 'leave it to a worker in the background and return')
    .option('--json', 'print one closing line of JSON; everything else goes to stderr')
    .addHelpText(
      'after',
      '\nExamples:\n  $ temper retry my-job\n  $ temper retry my-job --from-stage evaluate\n  $ temper retry my-job --checkpoint 400',
    )
    .action(retry)
}

async function retry(job: string, options: RetryOptions): Promise<void> {
  const { fromStage, checkpoint } = options
  const outputs = openOutputs(options.json ?? false)
  const interrupt = onInterrupt()
  const session = await openSession({ command: 'temper retry', say: outputs.say, signal: interrupt })
  try {
    const { name } = await retryJob(session.client, job, {
      ...(fromStage !== undefined && { fromStage }),
      ...(checkpoint !== undefined && { checkpoint }),
    })
    if (options.detach) {
      if (!(await isServed(session))) {
        const pid = await startInBackground(session)
        outputs.say(`A worker runs in the background (process ${pid}); "temper down" stops it.`)
      }
      outputs.terminal.line(`Job ${name} is started again. Look at it with: temper status ${name}`)
      outputs.json({ job: name, state: 'running' })
      return
    }
    const end = await serveJob(session, name, outputs.terminal, interrupt)
    await reportEnd(session, name, end, `temper retry ${name}`, outputs)
  } finally {
    await session.close()
  }
}

function parseStep(text: string): number {
  const step = Number(text)
  if (!Number.isInteger(step) || step < 0) throw new InvalidArgumentError('a step is a whole number from 0.')
  return step
}
