import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { test } from 'node:test'
import { ApplicationFailure } from '@temporalio/activity'
import { trainActivity } from '../../activities/train.ts'
import type { WorkerPlace } from '../../activities/stage-activity.ts'
import type { TrainInput } from '../../src/stages/train.ts'

test('a worker on a node that the job avoids leaves its training to others, before anything is begun', async () => {
  // Nothing else of the place may be touched.
  const train = trainActivity({ environment: { NODE_NAME: 'node-7' } } as unknown as WorkerPlace)
  const input = { jobId: 'finetune-x', attempt: 2, avoidNodes: ['node-3', 'node-7'] } as TrainInput
  await assert.rejects(train(input), (error) => {
    assert(error instanceof ApplicationFailure)
    assert.equal(error.type, 'declined')
    assert.match(error.message, /Node node-7 is avoided by job finetune-x/)
    return true
  })
})

test('a worker whose pod is gone leaves the next attempt to others, although it still polls', async () => {
  const train = trainActivity({ environment: {} } as unknown as WorkerPlace)
  const input = { jobId: 'finetune-x', attempt: 2, avoidWorkers: ['another', hostname()] } as TrainInput
  await assert.rejects(train(input), (error) => {
    assert(error instanceof ApplicationFailure)
    assert.equal(error.type, 'declined')
    assert.match(error.message, /is gone for the cluster, and job finetune-x waits for another/)
    return true
  })
})
