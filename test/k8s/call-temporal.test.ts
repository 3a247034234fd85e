import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client'
import { callTemporal } from '../../k8s/call-temporal.ts'
import { TransientError } from '../../src/errors.ts'
import { startHostTemporal } from '../cluster/host-temporal.ts'
import { freePorts } from '../support/cluster/free-ports.ts'

test('a Temporal that is not there at first is reached when it is', async (t) => {
  const [port = 0] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  const connection = Connection.lazy({ address, connectTimeout: 1_000 })
  t.after(() => connection.close())
  const place = { client: new Client({ connection }), address, heartbeatSeconds: 30 }
  const ask = () => callTemporal(place, (client) => client.workflow.getHandle('nobody').describe())
  await assert.rejects(ask(), TransientError)
  const folder = mkdtempSync(join(tmpdir(), 'temper-call-temporal-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const temporal = await startHostTemporal('127.0.0.1', folder, port)
  t.after(() => temporal.stop())
  // Between two attempts the channel waits longer and longer.
  for (;;) {
    const answer: unknown = await ask().catch((error: unknown) => error)
    if (answer instanceof WorkflowNotFoundError) return
    assert(answer instanceof TransientError, String(answer))
  }
})
