import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startTemporal, type TestTemporal } from '../support/temporal.ts'
import { type TemperFolder, temperFolder, until } from '../support/temper-cli.ts'

describe("a Temporal server of the user's own (TEMPORAL_ADDRESS)", { timeout: 300_000 }, () => {
  let temporal: TestTemporal
  let folder: TemperFolder

  before(async () => {
    temporal = await startTemporal()
    folder = await temperFolder({ TEMPORAL_ADDRESS: temporal.address })
  })
  after(async () => {
    folder.remove()
    await temporal.stop()
  })

  test('is used as it is; a worker is brought along only where none serves the queues', async () => {
    const alone = await folder.temper('run', folder.job('alone'), '--json')
    assert.equal(alone.code, 0, alone.stderr)
    assert.equal(existsSync(join(folder.state, 'temporal.db')), false, 'no server of its own')

    const elsewhere = await temperFolder({ TEMPORAL_ADDRESS: temporal.address })
    try {
      const up = folder.start('up')
      await until('temper up', () => up.said().includes('Serving jobs'), up.said)
      assert(up.said().includes(`Temporal at ${temporal.address} (TEMPORAL_ADDRESS)`))
      // Another folder's command finds the worker through the server alone. The store is the worker's.
      const running = elsewhere.start('run', elsewhere.job('served'))
      await until('the stages', () => running.said().includes('publish: done'), running.said)
      await running.ended
      assert.equal(existsSync(join(elsewhere.state, 'logs', 'worker.log')), false, 'it has started no worker')
      up.child.kill('SIGTERM')
      assert.equal((await up.ended).code, 0)
    } finally {
      elsewhere.remove()
    }
  })

  test('that does not answer, or has not the namespace, is one sentence', async () => {
    const away = await temperFolder({ TEMPORAL_ADDRESS: '127.0.0.1:9' })
    const lost = await temperFolder({ TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: 'nowhere' })
    try {
      const [nobody, nowhere] = await Promise.all([away.temper('list'), lost.temper('list')])
      assert.equal(nobody.code, 2)
      assert.match(
        nobody.stderr,
        /^error: No Temporal server answers at 127\.0\.0\.1:9 \(TEMPORAL_ADDRESS\): start it, or unset/,
      )
      assert.equal(nowhere.code, 2)
      assert.match(
        nowhere.stderr,
        /^error: The Temporal server at .* has no namespace nowhere: create it, or set TEMPORAL_NAMESPACE/,
      )
    } finally {
      away.remove()
      lost.remove()
    }
  })
})
