import assert from 'node:assert/strict'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianMissing } from '../../support/cluster/debian-tools.ts'
import { runCommand } from '../../../src/local/run-command.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { type Surroundings, seconds } from '../surroundings.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const BUILD_MILLISECONDS = 10 * 60_000

export const image: ClusterCase = {
  name: 'image',
  what: 'the image of one commit, built twice in two clones with caches of their own, has one digest',
  missing: debianMissing,
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const commit = (await git(root, 'rev-parse', 'HEAD')).trim()
  const first = await build(commit, join(place.folder, 'clone-one'), say)
  const second = await build(commit, join(place.folder, 'another', 'clone-two'), say)
  assert.equal(first, second)
  say(`commit ${commit}: digest ${first}`)
}

/** In a clone without any package installed: nothing of this checkout's node_modules can get in. */
async function build(commit: string, clone: string, say: (line: string) => void): Promise<string> {
  await git(root, 'clone', '--quiet', '--no-hardlinks', '.', clone)
  await git(clone, 'checkout', '--quiet', '--detach', commit)
  const began = performance.now()
  const output = await runCommand(
    process.execPath,
    [join(clone, 'scripts/image/main.ts'), '--output', `${clone}-image`],
    { timeoutMilliseconds: BUILD_MILLISECONDS, environment: { XDG_CACHE_HOME: `${clone}-cache` } },
  )
  say(
    `built with an empty cache in ${seconds(began)}: ${output
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/ in .*/, '')}`,
  )
  const digest = /sha256:[0-9a-f]{64}/.exec(output.trim().split('\n').at(-1) ?? '')?.[0] ?? ''
  assert.notEqual(digest, '')
  return digest
}

function git(folder: string, ...args: string[]): Promise<string> {
  return runCommand('git', ['-C', folder, ...args], { timeoutMilliseconds: BUILD_MILLISECONDS })
}
