import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransientError } from '../../src/errors.ts'
import { TinyTraining } from './tiny-training.ts'

test('killed in the whole-graph layout, with DoRA, the job ends with the same adapter, bit for bit', async (t) => {
  const change = { layout: 'whole', useDora: true, loraDropout: 0 } as const
  const undisturbed = await (await TinyTraining.create(t)).attempt({}, change)
  const training = await TinyTraining.create(t)
  // On a busy disk the first checkpoint may take more than twenty steps of this size.
  let isSaved = false
  const onCheckpoint = () => void (isSaved = true)
  const onProgress = ({ step }: { step: number }) =>
    void (isSaved && step >= 20 && process.kill(training.pid(), 'SIGKILL'))
  await assert.rejects(training.attempt({ onProgress, onCheckpoint }, change), TransientError)
  const resumed = await training.attempt({}, change)
  assert.ok((resumed.summary.resumedFromStep as number) >= 4)
  assert.equal(resumed.summary.exact, true)
  assert.ok(resumed.adapter.equals(undisturbed.adapter))
})
