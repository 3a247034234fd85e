import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransientError } from '../../src/errors.ts'
import { TinyTraining } from '../train/tiny-training.ts'

for (const precision of ['exact', 'fp16', 'bf16'] as const)
  test(`killed on CUDA in ${precision} and resumed on the same device, the job ends with the same adapter, bit for bit`, async (t) => {
    const change = { layout: 'whole', device: 'cuda', precision } as const
    const undisturbed = await (await TinyTraining.create(t)).attempt({}, change)
    const training = await TinyTraining.create(t)
    let isSaved = false
    const onCheckpoint = () => void (isSaved = true)
    const onProgress = ({ step }: { step: number }) =>
      void (isSaved && step >= 20 && process.kill(training.pid(), 'SIGKILL'))
    await assert.rejects(training.attempt({ onProgress, onCheckpoint }, change), TransientError)
    const resumed = await training.attempt({}, change)
    assert.equal(resumed.summary.exact, true)
    assert.ok(resumed.adapter.equals(undisturbed.adapter))
  })
