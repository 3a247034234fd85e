import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { metricsTable } from './metrics-table.ts'

test('docs/metrics.md has exactly the metrics that the code has', () => {
  const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const cells = (row: string) => row.split('|').map((cell) => cell.trim())
  const documented = text.split('\n').filter((line) => line.startsWith('| `temper_'))
  assert.deepEqual(documented.map(cells), metricsTable().map(cells))
})
