import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temperFolder } from '../support/temper-cli.ts'

// Node runs no TypeScript below node_modules, so the package holds compiled files: only an installed one shows that none is missing.

const root = fileURLToPath(new URL('../..', import.meta.url))
const elsewhere = mkdtempSync(join(tmpdir(), 'temper-package-'))
after(() => rmSync(elsewhere, { recursive: true, force: true }))

test('the packed package, installed elsewhere, runs a job to its end', { timeout: 600_000 }, async () => {
  const npm = (cwd: string, ...args: string[]) =>
    execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const [packed] = JSON.parse(npm(root, 'pack', '--json', '--pack-destination', elsewhere)) as [
    { filename: string },
  ]
  writeFileSync(join(elsewhere, 'package.json'), JSON.stringify({ name: 'elsewhere', private: true }))
  npm(
    elsewhere,
    'install',
    '--prefer-offline',
    '--ignore-scripts',
    '--no-audit',
    join(elsewhere, packed.filename),
  )
  const installed = join(elsewhere, 'node_modules', 'temper')
  assert.equal(existsSync(join(installed, 'cli', 'main.ts')), false, 'no sources below node_modules')

  const folder = await temperFolder({}, join(installed, 'bin', 'temper.js'))
  try {
    const { code, stdout, stderr } = await folder.temper('run', folder.job('packed'), '--json')
    assert.equal(code, 0, stderr)
    assert.match(stdout, /"trainedTokens"/)
  } finally {
    folder.remove()
  }
})
