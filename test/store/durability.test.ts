import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { runScenario } from './support/run-scenario.ts'
import { folderWith, randomContent, scratchFolder } from './support/scratch.ts'
import type { DiskEvent } from './support/trace-files.ts'

/**
 * A power cut can't be had in a test, but what it would leave follows from the order of writes and syncs: a name may be given only to
 * bytes that are on disk, and nothing may be said to be done whose name is not on disk in its folder.
 */
describe('what is said to be done would survive a power cut', { concurrency: 2 }, () => {
  for (const name of ['register', 'artifact', 'checkpoint', 'publish']) {
    test(name, async (t) => {
      const folder = await folderWith(t, { 'one.bin': randomContent(5000), 'two.txt': 'two' })
      const root = await scratchFolder(t)
      const { said, code } = await runScenario({
        name,
        uri: pathToFileURL(root).href,
        folder,
        preload: 'trace-files.ts',
      })
      assert.equal(code, 0, said.join('\n'))
      const unsyncedFiles = new Set<string>()
      const unsyncedFolders = new Set<string>()
      let names = 0
      let acknowledgements = 0
      for (const line of said) {
        if (!line.startsWith('{')) {
          acknowledgements++
          assert.deepEqual([...unsyncedFolders], [], `"${line}" is said too early`)
          continue
        }
        const { event, path: file, from } = JSON.parse(line) as DiskEvent
        switch (event) {
          case 'write':
            unsyncedFiles.add(file)
            break
          case 'sync':
            unsyncedFiles.delete(file)
            unsyncedFolders.delete(file)
            break
          case 'name':
            names++
            assert.ok(!unsyncedFiles.has(from ?? ''), `${file} is named before its bytes are on disk`)
            if (isTruth(root, file)) unsyncedFolders.add(path.dirname(file))
            break
        }
      }
      assert.ok(names > 2 && acknowledgements > 0)
    })
  }
})

/** Not temporary files, and not the plain file beside a register, which is only a view of it. */
function isTruth(root: string, file: string): boolean {
  const key = path.relative(root, file)
  return !key.startsWith('~tmp') && !['r/pointer.json', 'jobs/job/training/d/latest.json'].includes(key)
}
