import { setGlobalProxyFromEnv } from 'node:http'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { openStateFolder } from '../src/local/state-folder.ts'
import { EXIT_INPUT, explainError } from './errors.ts'
import { INTERRUPTED_EXIT } from './interrupt.ts'
import { createProgram } from './program.ts'

setGlobalProxyFromEnv()
try {
  await createProgram().parseAsync()
} catch (error) {
  process.exitCode = exitCodeFor(error)
}
// Whatever may still be open (a cut connection's timer) must not keep a finished command.
process.exit()

function exitCodeFor(error: unknown): number {
  // commander has said it already; --help and --version are no errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_INPUT
  if (error instanceof Error && error.name === 'AbortError') return INTERRUPTED_EXIT
  const { logs } = openStateFolder(process.env, process.cwd())
  const { text, exitCode, isDefect } = explainError(error, logs)
  if (isDefect) {
    const details = error instanceof Error ? error.stack : String(error)
    appendFileSync(
      join(logs, 'errors.log'),
      `${new Date().toISOString()} ${process.argv.slice(2).join(' ')}\n${details}\n`,
    )
  }
  console.error(`error: ${text}`)
  return exitCode
}
