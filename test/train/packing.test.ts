import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Batch, makeBatch } from '../../src/train/batch.ts'
import type { Layout } from '../../src/train/engine.ts'
import { packRows } from '../../src/train/pack-rows.ts'
import { permutation } from '../../src/train/random.ts'
import { planSteps } from '../../src/train/step-plan.ts'
import { copyOf, gradientError, sample, tinyEngine } from '../engine/tiny-engine.ts'

test('rows are packed best fit, decreasing: every row once, no pack too long', () => {
  assert.deepEqual(packRows([4, 8, 3, 6, 2, 10, 1], 10), [[5], [1, 4], [3, 0], [2, 6]])
  assert.deepEqual(packRows([5, 12, 5], 10), [[1], [0, 2]], 'a row beyond the capacity stands alone')
  assert.deepEqual(packRows([], 10), [])
  const lengths = Array.from(permutation(3000, 1, 0), (n) => 1 + (n % 97))
  const packs = packRows(lengths, 128)
  assert.deepEqual(
    packs.flat().toSorted((a, b) => a - b),
    lengths.map((_, row) => row),
  )
  const total = (rows: number[]) => rows.reduce((sum, row) => sum + (lengths[row] ?? 0), 0)
  assert.ok(packs.every((pack) => total(pack) <= 128))
  // The least possible is the sum over the capacity; best fit comes within a hundredth of it here.
  assert.ok(packs.length <= 1.01 * Math.ceil(total(packs.flat()) / 128), `${packs.length} packs`)
})

test('a packed micro-batch has the loss and the gradients of its rows one by one', async () => {
  const samples = [9, 21, 5, 14, 12, 30].map((length, i) => sample(i + 1, length))
  const packs = packRows(
    samples.map(({ ids }) => ids.length),
    35,
  )
  assert.ok(packs.length < samples.length)
  const packed = makeBatch(packs.map((pack) => pack.map((row) => samples[row] as (typeof samples)[number])))
  const single = makeBatch(samples.map((one) => [one]))
  const measure = async (layout: Layout, batch: Batch) => {
    const engine = await tinyEngine('tiny-qwen2', layout)
    const loss = await engine.accumulate(batch)
    const gradients = copyOf(engine.gradients)
    await engine.dispose()
    return { ...loss, gradients }
  }
  for (const layout of ['by-layer', 'whole'] as const) {
    const [one, other] = [await measure(layout, single), await measure(layout, packed)]
    assert.equal(other.tokens, one.tokens)
    assert.ok(Math.abs(other.lossSum / one.lossSum - 1) < 1e-6, `${one.lossSum} ${other.lossSum}`)
    assert.ok(gradientError(other.gradients, one.gradients) < 1e-5)
  }
})

const plan = {
  seed: 3,
  numTrainEpochs: 2,
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 1,
  warmupRatio: 0,
}

test('rows of like length share a step, every row once an epoch, the longest first', () => {
  const lengths = Array.from(permutation(64, 5, 0), (n) => n + 1)
  const padding = (options: object) => {
    const steps = planSteps(64, { ...plan, ...options })
    const batches = Array.from({ length: 32 }, (_, step) => steps.microBatches(step).flat())
    assert.deepEqual(
      batches.flat().toSorted((a, b) => a - b),
      lengths.map((_, row) => row),
    )
    return {
      first: lengths[batches[0]?.[0] ?? 0],
      padding: batches.reduce(
        (sum, rows) => sum + Math.abs((lengths[rows[0] ?? 0] ?? 0) - (lengths[rows[1] ?? 0] ?? 0)),
        0,
      ),
    }
  }
  const grouped = padding({ lengths, groupByLength: true })
  assert.equal(grouped.first, 64)
  assert.ok(grouped.padding < 0.5 * padding({}).padding, `${grouped.padding} of ${padding({}).padding}`)
})

test('a step asked for alone has the rows that it has in turn, by length as well', () => {
  const lengths = Array.from(permutation(41, 5, 0), (n) => n + 1)
  const options = { ...plan, lengths, groupByLength: true }
  const inTurn = planSteps(41, options)
  const wanted = Array.from({ length: inTurn.steps }, (_, step) => inTurn.microBatches(step))
  assert.deepEqual(planSteps(41, options).microBatches(25), wanted[25])
  assert.notDeepEqual(wanted[0], wanted[21], 'each epoch has an order of its own')
})
