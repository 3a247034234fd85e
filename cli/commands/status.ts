import type { Command } from 'commander'
import { failureTexts } from '../display/failure-texts.ts'
import { stageSeconds, stageText } from '../display/stage-text.ts'
import { formatSeconds } from '../display/format.ts'
import { jobResult } from '../job-result.ts'
import { stateText } from '../display/state-text.ts'
import { viewJob, type JobView } from '../../jobs/job-view.ts'
import { openOutputs } from '../outputs.ts'
import { artifactPlaces } from '../artifact-places.ts'
import { openSession } from '../session.ts'

const NAME_WIDTH = 10
const STATE_WIDTH = 10

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('Show the stages of a job.')
    .argument('<job>', 'name of the job')
    .option('--json', 'print one line of JSON')
    .addHelpText('after', '\nExample:\n  $ temper status my-job')
    .action(status)
}

async function status(name: string, options: { json?: boolean }): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const session = await openSession({ command: 'temper status', say: outputs.say })
  try {
    const { line, style } = outputs.terminal
    const view = await viewJob(session.client, name)
    line(`${style(view.name, 'bold')}: ${stateText(view)}, started ${view.startedAt.toISOString()}`)
    for (const text of stageLines(view)) line(text)
    const result = view.state === 'completed' ? await jobResult(session.client, view.name) : undefined
    const artifacts = result ? await artifactPlaces(session.store, result) : undefined
    for (const [key, place] of Object.entries(artifacts ?? {})) line(`  ${key}: ${place}`)
    outputs.json({ ...view, artifacts })
  } finally {
    await session.close()
  }
}

function stageLines(view: JobView): string[] {
  return view.stages.flatMap((stage) => {
    const seconds = stageSeconds(stage, Date.now())
    const took = seconds === undefined ? '' : ` (${formatSeconds(seconds)})`
    const text = stageText(stage, view.progress, view.isWorkedOn)
    const line =
      `  ${stage.name.padEnd(NAME_WIDTH)}${stage.state.padEnd(STATE_WIDTH)}${text}${took}`.trimEnd()
    const indent = ' '.repeat(2 + NAME_WIDTH + STATE_WIDTH)
    return [line, ...failureTexts(stage).map((failure) => `${indent}${failure}`)]
  })
}
