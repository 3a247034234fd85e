import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { CHECKPOINTINGS, type Precision } from '../../src/model/precision.ts'
import { makeBatch } from '../../src/train/batch.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import { readStartAdapter } from '../../scripts/golden-files.ts'
import { copyOf, goldenDir, gradientError, sample } from './tiny-engine.ts'

/** Long enough for several blocks of attention. */
const BATCH = makeBatch([[sample(1, 150)], [sample(2, 90)]])

async function step(precision: Precision, checkpointing: (typeof CHECKPOINTINGS)[number]) {
  const { config, weights, close } = openBaseModel(goldenDir('tiny-qwen2'))
  const adapter = readStartAdapter(goldenDir('tiny-qwen2'))
  const engine = await createEngine({ config, weights, adapter, layout: 'by-layer', threads: 1, precision, checkpointing }) // prettier-ignore
  const { lossSum } = await engine.accumulate(BATCH)
  const gradients = copyOf(engine.gradients)
  await engine.dispose()
  close()
  return { lossSum, gradients }
}

for (const precision of ['exact', 'qlora'] as const)
  test(`${precision}: whatever is computed again, the gradients are the same`, async () => {
    const want = await step(precision, 'none')
    for (const checkpointing of CHECKPOINTINGS) {
      const found = await step(precision, checkpointing)
      assert.equal(found.lossSum, want.lossSum)
      const error = gradientError(found.gradients, want.gradients)
      // What is kept in between is kept as halves where the precision says so.
      const most = precision === 'exact' || checkpointing !== 'selective' ? 2e-6 : 3e-3
      assert.ok(error < most, `${checkpointing}: ${error}`)
    }
  })
