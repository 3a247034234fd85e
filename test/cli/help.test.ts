import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createProgram } from '../../cli/program.ts'

const launcher = fileURLToPath(new URL('../../bin/temper.js', import.meta.url))

test('every command explains itself with an example', () => {
  const program = createProgram()
  const names = program.commands.map((command) => command.name())
  for (const name of ['quickstart', 'run', 'list', 'status', 'logs', 'cancel', 'up', 'down']) {
    assert(names.includes(name), `there is ${name}`)
  }
  for (const command of [program, ...program.commands]) {
    let help = ''
    command.configureOutput({ writeOut: (text) => (help += text) })
    command.outputHelp()
    assert.match(help, /Examples?:\n {2}\$ .*temper /, `${command.name()} has an example`)
    assert.match(help, /Usage: temper/)
  }
})

test('a misspelt command or option is one sentence with the nearest right one, and nothing is started', () => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-help-'))
  try {
    for (const [args, words] of [
      [['quickstat'], /unknown command 'quickstat'\n\(Did you mean quickstart\?\)/],
      [['run', 'job.yaml', '--detatch'], /unknown option '--detatch'\n\(Did you mean --detach\?\)/],
      [['run'], /missing required argument 'job.yaml'/],
      [['up', '--port', '70000'], /a port is a whole number from 1 to 65535/],
    ] as const) {
      assert.throws(
        () =>
          execFileSync(process.execPath, [launcher, ...args], {
            cwd: folder,
            stdio: 'pipe',
            encoding: 'utf8',
          }),
        (error: { status: number; stderr: string }) => {
          assert.equal(error.status, 2)
          assert.match(error.stderr, words)
          assert.doesNotMatch(error.stderr, /\n {4}at /)
          return true
        },
      )
    }
    assert.equal(existsSync(join(folder, '.temper')), false)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('an older Node hands over to the one that npm brought along', () => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-old-node-'))
  try {
    // This Node says that it is an old one; the one that is started in its place cannot hear that.
    const pretend = join(folder, 'pretend.cjs')
    writeFileSync(pretend, "Object.defineProperty(process.versions, 'node', { value: '20.11.1' })")
    const version = execFileSync(process.execPath, ['--require', pretend, launcher, '--version'], {
      encoding: 'utf8',
    })
    assert.match(version, /^\d+\.\d+\.\d+\n$/)
    assert.throws(
      () => execFileSync(process.execPath, ['--require', pretend, launcher, 'nonsense'], { stdio: 'pipe' }),
      (error: { status: number }) => error.status === 2,
      'its exit code is handed on',
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
