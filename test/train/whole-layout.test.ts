import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransientError } from '../../src/errors.ts'
import { TINY_STEPS, TinyTraining } from './tiny-training.ts'

for (const [what, change] of [
  ['with DoRA', { layout: 'whole', useDora: true, loraDropout: 0 }],
  ['in float16', { layout: 'whole', precision: 'fp16' }],
] as const)
  test(`killed in the whole-graph layout, ${what}, the job ends with the same adapter, bit for bit`, async (t) => {
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
    const scales = resumed.metrics.filter(({ lossScale }) => lossScale !== undefined)
    assert.equal(scales.length, 'precision' in change ? TINY_STEPS : 0)
  })
