import { randomBytes } from 'node:crypto'
import { type Command, InvalidArgumentError } from 'commander'
import { openStateFolder } from '../../src/local/state-folder.ts'
import { rollback } from '../../src/nightly/rollback.ts'
import { openStore } from '../../src/store/open-store.ts'
import { storeUri } from '../../worker/settings.ts'
import { openOutputs } from '../outputs.ts'

export function addRollbackCommand(program: Command): void {
  program
    .command('rollback')
    .description("Move a model's name back to an earlier version, in one step.")
    .argument('<name>', 'name of the model')
    .argument('[version]', 'which version; default: the one before', parseVersion)
    .option('--json', 'print one closing line of JSON; everything else goes to stderr')
    .addHelpText('after', '\nExample:\n  $ temper rollback support 3')
    .action(async (name: string, version: number | undefined, options: { json?: boolean }) => {
      const { terminal, json } = openOutputs(options.json ?? false)
      const store = await openStore(storeUri(process.env, openStateFolder(process.env, process.cwd())))
      const act = { at: new Date(), id: randomBytes(6).toString('hex') }
      const { from, to } = await rollback(store, name, version, act)
      terminal.line(`${name} stands for version ${to} now; before, it stood for version ${from}.`)
      json({ name, from, to })
    })
}

function parseVersion(text: string): number {
  const version = Number(text)
  if (!Number.isInteger(version) || version < 1) {
    throw new InvalidArgumentError('a version is a whole number from 1 on.')
  }
  return version
}
