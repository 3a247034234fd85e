import assert from 'node:assert/strict'
import { test } from 'node:test'
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
  } finally {
    await server.close()
  }
})
