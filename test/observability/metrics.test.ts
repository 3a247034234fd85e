import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { createMetrics } from '../../worker/metrics.ts'
import { serveMetrics } from '../../worker/metrics-server.ts'
import { metricsTable } from './metrics-table.ts'

test('docs/metrics.md has exactly the metrics that the code has', () => {
  const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const cells = (row: string) => row.split('|').map((cell) => cell.trim())
  const documented = text.split('\n').filter((line) => line.startsWith('| `temper_'))
  assert.deepEqual(documented.map(cells), metricsTable().map(cells))
})

test('the worker says how it is, and what it has counted', async (t) => {
  const { registry, metrics } = createMetrics()
  let isHealthy = false
  const server = await serveMetrics('127.0.0.1:0', registry, () => isHealthy)
  t.after(() => server.close())
  const ask = (path: string) => fetch(`http://${server.address}${path}`)
  assert.equal((await ask('/healthz')).status, 503)
  isHealthy = true
  assert.equal((await ask('/healthz')).status, 200)
  metrics.failures.inc({ stage: 'train', kind: 'killed' })
  const text = await (await ask('/metrics')).text()
  assert.match(text, /^temper_failures_total\{stage="train",kind="killed"\} 1$/m)
  assert.equal((await ask('/elsewhere')).status, 404)
  await assert.rejects(
    serveMetrics(server.address, registry, () => true),
    InputError,
  )
  await assert.rejects(
    serveMetrics('nowhere', registry, () => true),
    InputError,
  )
})
