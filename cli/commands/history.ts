import type { Command } from 'commander'
import { listRecords } from '../../src/nightly/night-record.ts'
import { openStateFolder } from '../../src/local/state-folder.ts'
import { currentVersion, listVersions } from '../../src/store/model-registry.ts'
import { openStore } from '../../src/store/open-store.ts'
import { storeUri } from '../../worker/settings.ts'
import { nightLine } from '../display/night-line.ts'
import { openOutputs } from '../outputs.ts'

export function addHistoryCommand(program: Command): void {
  program
    .command('history')
    .description("Show a model's versions, and what each night did and why.")
    .argument('<name>', 'name of the model')
    .option('--json', 'print one line of JSON')
    .addHelpText('after', '\nExample:\n  $ temper history support --json')
    .action(history)
}

async function history(name: string, options: { json?: boolean }): Promise<void> {
  const { terminal, json } = openOutputs(options.json ?? false)
  const store = await openStore(storeUri(process.env, openStateFolder(process.env, process.cwd())))
  const records = await listRecords(store, name)
  const versions = (await listVersions(store, name)).map(({ version }) => version)
  const current = (await currentVersion(store, name))?.version
  if (records.length === 0 && versions.length === 0) terminal.line(`Nothing is known of ${name}.`)
  else {
    terminal.line(
      `${terminal.style(name, 'bold')}: ${current === undefined ? 'nothing is published' : `version ${current} of ${versions.join(', ')}`}`,
    )
  }
  for (const record of records) terminal.line(`  ${nightLine(record)}`)
  json({ name, current, versions, history: records })
}
