import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Client, Connection } from '@temporalio/client'
import { identifyProcess } from '../../src/local/process-identity.ts'
import type { NightRecord } from '../../src/nightly/night-record.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import type { tell } from '../../workflows/tell.ts'
import {
  namesIn,
  type RunningCommand,
  type TemperFolder,
  temperFolder,
  until,
} from '../support/temper-cli.ts'
import { startTemporal, type TestTemporal } from '../support/temporal.ts'

// Telling over the death of the worker that tells.

const record: NightRecord = {
  name: 'support',
  schedule: 'support',
  at: '2026-11-22T02:00:00.000Z',
  night: 'a-b',
  end: 'failed',
  why: 'the source did not answer',
}

describe('an event', { timeout: 300_000 }, () => {
  let temporal: TestTemporal
  let folder: TemperFolder
  let up: RunningCommand
  let receiver: Server
  const ids: unknown[] = []

  before(async () => {
    temporal = await startTemporal()
    folder = await temperFolder({
      TEMPORAL_ADDRESS: temporal.address,
      TEMPER_WEBHOOK_HOSTS: '127.0.0.1',
    })
    receiver = createServer((request, response) => {
      ids.push(request.headers['webhook-id'])
      // The first one is not answered: its worker dies.
      if (ids.length === 1) process.kill(workerOf(folder), 'SIGKILL')
      else response.writeHead(204).end()
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    up = folder.start('up')
  })
  after(async () => {
    up.child.kill('SIGTERM')
    await up.ended
    receiver.closeAllConnections()
    receiver.close()
    folder.remove()
    await temporal.stop()
  })

  test('whose worker is killed while it is told is told again, under the same id', async () => {
    await until('a worker', () => namesIn(join(folder.state, 'cache', 'scratch')).length > 0, up.said)
    const connection = await Connection.connect({ address: temporal.address })
    try {
      const { port } = receiver.address() as AddressInfo
      const undelivered = await new Client({ connection }).workflow.execute<typeof tell>('tell', {
        workflowId: 'a-night.tell',
        taskQueue: CONTROL_QUEUE,
        args: [
          {
            record,
            notifications: [
              {
                url: `http://127.0.0.1:${port}/hook`,
                format: 'webhook',
                on: ['published', 'kept', 'failed', 'recovered'],
              },
            ],
          },
        ],
      })
      assert.deepEqual(undelivered, [])
      assert.deepEqual(ids, ['evt_ab_failed', 'evt_ab_failed'])
    } finally {
      await connection.close()
    }
  })
})

function workerOf(folder: TemperFolder): number {
  const [pid] = namesIn(join(folder.state, 'cache', 'scratch'))
    .map(Number)
    .filter((pid) => identifyProcess(pid) !== undefined)
  assert(pid, 'a worker runs')
  return pid
}
