import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { failuresPage } from '../../scripts/failures-page.ts'
import { FAILURES, waitBefore } from '../../src/failures/failures.ts'

test('docs/failures.md is what the code generates (node scripts/generate-schema.ts)', async () => {
  const page = readFileSync(new URL('../../docs/failures.md', import.meta.url), 'utf8')
  assert.equal(page, await failuresPage())
})

test('waits double up to the longest; what is retried at once slows down when it comes again', () => {
  const waits = (kind: keyof typeof FAILURES) =>
    [1, 2, 3, 4, 20].map((retry) => waitBefore(FAILURES[kind].budget, retry))
  assert.deepEqual(waits('transient'), [1000, 2000, 4000, 8000, 300_000])
  assert.deepEqual(waits('killed'), [0, 1000, 2000, 4000, 30_000])
  assert.deepEqual(waits('lost'), [0, 0, 0, 0, 0])
})
