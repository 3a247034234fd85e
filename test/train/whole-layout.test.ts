import assert from 'node:assert/strict'
import { test } from 'node:test'
import { killedAndResumed } from './killed-and-resumed.ts'
import { TINY_STEPS } from './tiny-training.ts'

for (const [what, change] of [
  ['with DoRA', { layout: 'whole', useDora: true, loraDropout: 0 }],
  ['in float16', { layout: 'whole', precision: 'fp16' }],
] as const)
  test(`killed in the whole-graph layout, ${what}, the job ends with the same adapter, bit for bit`, async (t) => {
    const { resumed } = await killedAndResumed(t, change)
    const scales = resumed.metrics.filter(({ lossScale }) => lossScale !== undefined)
    assert.equal(scales.length, 'precision' in change ? TINY_STEPS : 0)
  })
