import type { Command } from 'commander'
import { endProcess } from '../../src/local/end-process.ts'
import { serverUsers } from '../../src/local/server-users.ts'
import { openStateFolder } from '../../src/local/state-folder.ts'
import { openOutputs } from '../outputs.ts'

/** A worker may save a checkpoint for a minute and a half. */
const STOP_MILLISECONDS = 120_000

export function addDownCommand(program: Command): void {
  program
    .command('down')
    .description(
      'Stop the "temper up" of this folder, also one that runs in the background. Jobs go on with the next one.',
    )
    .addHelpText('after', '\nExample:\n  $ temper down')
    .action(down)
}

async function down(): Promise<void> {
  const { terminal } = openOutputs(false)
  const state = openStateFolder(process.env, process.cwd())
  const serving = serverUsers(state).filter((user) => user.works)
  if (serving.length === 0) terminal.line(`No temper up runs for ${state.root}.`)
  for (const user of serving) {
    await endProcess(user, STOP_MILLISECONDS)
    terminal.line(`Stopped ${user.command} (process ${user.pid}).`)
  }
}
