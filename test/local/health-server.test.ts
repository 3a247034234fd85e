import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { createMetrics } from '../../worker/metrics.ts'
import { serveHealth } from '../../src/local/health-server.ts'

test('a process says whether it lives, whether it takes work, and its numbers', async () => {
  let isReady = true
  const server = await serveHealth(0, {
    isAlive: () => true,
    isReady: () => isReady,
    metrics: () => ({ temper_things_total: 3 }),
  })
  const get = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`)
  try {
    assert.equal((await get('/healthz')).status, 200)
    assert.equal((await get('/readyz')).status, 200)
    isReady = false
    assert.equal((await get('/readyz')).status, 503)
    assert.equal((await get('/healthz')).status, 200, 'draining is not dying')
    assert.equal((await get('/elsewhere')).status, 404)
    assert.match(
      await (await get('/metrics')).text(),
      /# TYPE temper_things_total counter\ntemper_things_total 3/,
    )
    await assert.rejects(
      serveHealth(server.address, { isAlive: () => true, isReady: () => true }),
      InputError,
    )
  } finally {
    await server.close()
  }
})

test('a worker’s metrics are a page of their own; a place that is none is refused', async (t) => {
  const { registry, metrics } = createMetrics()
  const server = await serveHealth('127.0.0.1:0', {
    isAlive: () => false,
    isReady: () => false,
    metrics: () => registry.metrics(),
  })
  t.after(() => server.close())
  metrics.failures.inc({ stage: 'train', kind: 'killed' })
  const ask = (path: string) => fetch(`http://${server.address}${path}`)
  assert.equal((await ask('/healthz')).status, 503)
  assert.match(
    await (await ask('/metrics')).text(),
    /^temper_failures_total\{stage="train",kind="killed"\} 1$/m,
  )
  for (const where of ['nowhere', '127.0.0.1:', 99_999])
    await assert.rejects(serveHealth(where, { isAlive: () => true, isReady: () => true }), InputError)
})
