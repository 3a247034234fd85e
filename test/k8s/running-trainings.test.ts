import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Connection } from '@temporalio/client'
import { runningTrainings } from '../../k8s/running-trainings.ts'
import { serveHealth } from '../../src/local/health-server.ts'
import { startTemporal } from '../support/temporal.ts'

test(
  'KEDA is told how many trainings a fleet has, waiting ones included, and nothing when Temporal is gone',
  {
    timeout: 120_000,
  },
  async () => {
    const temporal = await startTemporal()
    const connection = await Connection.connect({ address: temporal.address })
    const client = new Client({ connection })
    const fleets = [{ name: 'a100', taskQueue: 'finetune-gpu-a100' }]
    const health = await serveHealth(0, {
      isAlive: () => true,
      isReady: () => true,
      tell: (path) => runningTrainings(client, fleets, path),
    })
    const ask = (queue: string) => fetch(`http://127.0.0.1:${health.port}/queues/${queue}`)
    try {
      const start = (workflowId: string, type: string, taskQueue: string) =>
        client.workflow.start(type, { workflowId, taskQueue, args: [] })
      await start('one', 'train', 'finetune-gpu-a100')
      const two = await start('two', 'train', 'finetune-gpu-a100')
      await start('elsewhere', 'train', 'finetune-train-cpu')
      await start('job', 'fineTune', 'finetune-gpu-a100')
      const told = async () => (await ask('finetune-gpu-a100')).json()
      // What Temporal lists is up to date a moment later.
      while ((await client.workflow.count("ExecutionStatus = 'Running'")).count < 4) await sleep(100)
      assert.deepEqual(await told(), { running: 2 })
      await two.terminate()
      while ((await client.workflow.count("ExecutionStatus = 'Running'")).count > 3) await sleep(100)
      assert.deepEqual(await told(), { running: 1 })
      assert.equal((await ask('finetune-train-cpu')).status, 404, 'no fleet polls it')
    } finally {
      await temporal.stop()
    }
    assert.equal((await ask('finetune-gpu-a100')).status, 503)
    await connection.close()
    await health.close()
  },
)
