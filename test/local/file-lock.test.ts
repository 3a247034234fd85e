import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { withFileLock } from '../../src/local/file-lock.ts'

const waitMilliseconds = 10_000

test('work under one lock never overlaps, a dead holder does not block, and nothing is left behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-lock-'))
  try {
    const path = join(folder, 'lock')
    for (const leftover of [
      '',
      '{"pid": 1, "started": "another time"}',
      JSON.stringify({ pid: 2 ** 22, started: 'x' }),
    ]) {
      writeFileSync(path, leftover)
      let inside = 0
      let most = 0
      const results = await Promise.all(
        [1, 2, 3, 4].map((number) =>
          withFileLock(path, waitMilliseconds, async () => {
            most = Math.max(most, ++inside)
            await new Promise((resolve) => setTimeout(resolve, 5))
            inside--
            return number
          }),
        ),
      )
      assert.equal(most, 1)
      assert.deepEqual(results, [1, 2, 3, 4])
    }
    await assert.rejects(
      withFileLock(path, waitMilliseconds, () => Promise.reject(new Error('work failed'))),
      /work failed/,
    )
    assert.deepEqual(readdirSync(folder), [])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
