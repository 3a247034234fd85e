import { temperVersion } from '../src/temper-version.ts'
import { Command } from 'commander'
import { addApproveCommand, addRejectCommand } from './commands/approve.ts'
import { addCancelCommand } from './commands/cancel.ts'
import { addDownCommand } from './commands/down.ts'
import { addFleetCommand } from './commands/fleet.ts'
import { addHistoryCommand } from './commands/history.ts'
import { addListCommand } from './commands/list.ts'
import { addLogsCommand } from './commands/logs.ts'
import { addPauseCommand } from './commands/pause.ts'
import { addQuickstartCommand } from './commands/quickstart.ts'
import { addResumeCommand } from './commands/resume.ts'
import { addRetryCommand } from './commands/retry.ts'
import { addRollbackCommand } from './commands/rollback.ts'
import { addRunCommand } from './commands/run.ts'
import { addScheduleCommand } from './commands/schedule.ts'
import { addStatusCommand } from './commands/status.ts'
import { addUpCommand } from './commands/up.ts'

/** The command line of `temper`. Its errors are thrown, never exits. */
export function createProgram(): Command {
  const program = new Command('temper')
    .description(
      'Fine-tuned language models as durable jobs: clean, tokenize, train, evaluate, merge, quantize, publish.',
    )
    .version(temperVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(temper --help lists what there is)')
    .addHelpText('after', '\nExample:\n  $ npx temper quickstart')
  const add = [
    addQuickstartCommand,
    addRunCommand,
    addListCommand,
    addStatusCommand,
    addLogsCommand,
    addFleetCommand,
    addPauseCommand,
    addResumeCommand,
    addApproveCommand,
    addRejectCommand,
    addRetryCommand,
    addCancelCommand,
    addScheduleCommand,
    addHistoryCommand,
    addRollbackCommand,
    addUpCommand,
    addDownCommand,
  ]
  for (const addCommand of add) addCommand(program)
  return program
}
