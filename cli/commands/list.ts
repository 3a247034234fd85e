import type { Command } from 'commander'
import { formatSeconds } from '../display/format.ts'
import { stateText } from '../display/state-text.ts'
import { table } from '../display/table.ts'
import { findJob, type JobView } from '../../jobs/job-view.ts'
import { jobNameOf } from '../../jobs/job-id.ts'
import { openOutputs } from '../outputs.ts'
import { openSession } from '../session.ts'

export function addListCommand(program: Command): void {
  program
    .command('list')
    .description('List the jobs, the newest first.')
    .option('--json', 'print one line of JSON')
    .addHelpText('after', '\nExample:\n  $ temper list')
    .action(list)
}

async function list(options: { json?: boolean }): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const session = await openSession({ command: 'temper list', say: outputs.say })
  try {
    const names = new Set<string>()
    for await (const { workflowId } of session.client.workflow.list({ query: "WorkflowType = 'fineTune'" })) {
      names.add(jobNameOf(workflowId))
    }
    const jobs: JobView[] = []
    for (const name of names) {
      const job = await findJob(session.client, name)
      if (job !== undefined) jobs.push(job)
    }
    jobs.sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime())
    if (jobs.length === 0) outputs.terminal.line('No jobs yet. Start one with: temper run job.yaml')
    else for (const line of jobTable(jobs)) outputs.terminal.line(line)
    outputs.json({
      jobs: jobs.map(({ name, state, startedAt, closedAt, ...job }) => ({
        name,
        state,
        stage: currentStage(job.stages),
        ...(job.stages.some(({ state }) => state === 'asking') && { waitsForApproval: true }),
        startedAt,
        closedAt,
      })),
    })
  } finally {
    await session.close()
  }
}

function jobTable(jobs: readonly JobView[]): string[] {
  return table(
    ['NAME', 'STATE', 'STAGE', 'STARTED', 'TOOK'],
    jobs.map((job) => [
      job.name,
      stateText(job),
      currentStage(job.stages) ?? '',
      job.startedAt.toISOString().replace('T', ' ').slice(0, 16),
      formatSeconds(((job.closedAt ?? new Date()).getTime() - job.startedAt.getTime()) / 1000),
    ]),
  )
}

/** The stage that runs or failed, else the last one that is done. */
function currentStage(stages: JobView['stages']): string | undefined {
  const at = stages.find(({ state }) => !['done', 'skipped', 'waiting'].includes(state))
  return (at ?? stages.findLast(({ state }) => state !== 'waiting'))?.name
}
