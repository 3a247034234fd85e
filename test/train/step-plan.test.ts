import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planSteps } from '../../src/train/step-plan.ts'

const settings = {
  seed: 7,
  numTrainEpochs: 1,
  perDeviceTrainBatchSize: 4,
  gradientAccumulationSteps: 1,
  warmupRatio: 0.03,
}

// What transformers 4.57's Trainer.set_initial_training_values and TrainingArguments.get_warmup_steps give.
const cases = [
  { name: 'a whole number of batches', rows: 40, set: {}, wantSteps: 10, wantWarmup: 1 },
  { name: 'the last batch is smaller', rows: 41, set: {}, wantSteps: 11, wantWarmup: 1 },
  { name: 'fewer rows than a batch', rows: 3, set: {}, wantSteps: 1, wantWarmup: 1 },
  {
    name: 'the last step accumulates fewer',
    rows: 41,
    set: { gradientAccumulationSteps: 4 },
    wantSteps: 3,
    wantWarmup: 1,
  },
  {
    name: 'half an epoch is rounded up',
    rows: 41,
    set: { numTrainEpochs: 0.5 },
    wantSteps: 6,
    wantWarmup: 1,
  },
  { name: 'two and a half epochs', rows: 40, set: { numTrainEpochs: 2.5 }, wantSteps: 25, wantWarmup: 1 },
  {
    name: 'maxSteps overrides epochs',
    rows: 40,
    set: { numTrainEpochs: 9, maxSteps: 13 },
    wantSteps: 13,
    wantWarmup: 1,
  },
  { name: 'the ratio is rounded up', rows: 400, set: { warmupRatio: 0.101 }, wantSteps: 100, wantWarmup: 11 },
  {
    name: 'warmupSteps overrides the ratio',
    rows: 40,
    set: { warmupSteps: 0 },
    wantSteps: 10,
    wantWarmup: 0,
  },
]
for (const { name, rows, set, wantSteps, wantWarmup } of cases)
  test(`steps: ${name}`, () => {
    const plan = planSteps(rows, { ...settings, ...set })
    assert.equal(plan.steps, wantSteps)
    assert.equal(plan.warmupSteps, wantWarmup)
  })

test('an epoch sees every row once, in an order of its own, and no step reaches into the next epoch', () => {
  const plan = planSteps(11, {
    ...settings,
    numTrainEpochs: 3,
    perDeviceTrainBatchSize: 2,
    gradientAccumulationSteps: 2,
  })
  assert.equal(plan.stepsPerEpoch, 3)
  assert.equal(plan.steps, 9)
  const epochs = [0, 1, 2].map((epoch) =>
    [0, 1, 2].flatMap((step) => plan.microBatches(epoch * 3 + step).flat()),
  )
  for (const rows of epochs)
    assert.deepEqual(
      rows.toSorted((a, b) => a - b),
      Array.from({ length: 11 }, (_, i) => i),
    )
  assert.notDeepEqual(epochs[0], epochs[1])
  assert.deepEqual(
    plan.microBatches(2).map((batch) => batch.length),
    [2, 1],
  )
  assert.deepEqual(
    planSteps(11, { ...settings, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2 }).microBatches(1),
    plan.microBatches(1),
  )
})

test('a step asked for alone has the rows that it has in turn', () => {
  const inTurn = planSteps(11, { ...settings, maxSteps: 20 })
  const wanted = Array.from({ length: 20 }, (_, step) => inTurn.microBatches(step))
  assert.deepEqual(planSteps(11, { ...settings, maxSteps: 20 }).microBatches(17), wanted[17])
})

test('the rows of a step are dealt to its micro-batches from the longest down, where their lengths are known', () => {
  const options = { ...settings, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 4, numTrainEpochs: 2 }
  const lengths = Array.from({ length: 43 }, (_, row) => 1 + ((row * 29) % 17))
  const [drawn, dealt] = [planSteps(43, options), planSteps(43, { ...options, lengths })]
  const inOrder = (rows: number[]) => rows.toSorted((a, b) => a - b)
  for (let step = 0; step < drawn.steps; step++) {
    const rows = dealt.microBatches(step).flat()
    assert.deepEqual(inOrder(rows), inOrder(drawn.microBatches(step).flat()))
    const tokens = rows.map((row) => lengths[row] as number)
    assert.deepEqual(
      tokens,
      tokens.toSorted((a, b) => b - a),
    )
  }
  const whole = planSteps(43, {
    ...options,
    lengths,
    perDeviceTrainBatchSize: 8,
    gradientAccumulationSteps: 1,
  })
  assert.deepEqual(whole.microBatches(3).flat(), dealt.microBatches(3).flat())
})

test('half the micro-batch and twice the accumulation leave every step its rows', () => {
  const whole = planSteps(43, { ...settings, numTrainEpochs: 2, perDeviceTrainBatchSize: 8 })
  const halved = planSteps(43, {
    ...settings,
    numTrainEpochs: 2,
    perDeviceTrainBatchSize: 4,
    gradientAccumulationSteps: 2,
  })
  assert.equal(halved.steps, whole.steps)
  for (let step = 0; step < whole.steps; step++)
    assert.deepEqual(halved.microBatches(step).flat(), whole.microBatches(step).flat())
})
