import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NonFiniteError } from '../../src/errors.ts'
import type { Engine } from '../../src/train/engine.ts'
import { thisEnvironment } from '../../src/train/environment.ts'
import { nextLossScale, startingLossScale } from '../../src/train/loss-scale.ts'
import { train, type TrainJob } from '../../src/train/train.ts'
import { readState, type TrainingState, writeState } from '../../src/train/training-state.ts'
import { linearEngine, linearRows } from './linear-engine.ts'
import { trainSettings } from './settings.ts'

const reference = JSON.parse(
  readFileSync(new URL('../fixtures/loss-scale.json', import.meta.url), 'utf8'),
) as {
  first: number
  growthInterval: number
  steps: { finite: boolean; stepped: boolean; scale: number; finiteSteps: number }[]
}

test("the scale moves as torch's GradScaler moves it", () => {
  let state = startingLossScale()
  assert.equal(state.scale, reference.first)
  let skipped = 0
  for (const { finite, stepped, scale, finiteSteps } of reference.steps) {
    assert.equal(stepped, finite)
    state = nextLossScale(state, finite, reference.growthInterval)
    if (!finite) skipped++
    assert.deepEqual(state, { scale, finiteSteps, skippedSteps: skipped })
  }
})

test('it doubles after 2000 finite steps, and not beyond float32', () => {
  const before = { scale: 1024, finiteSteps: 1998, skippedSteps: 3 }
  assert.deepEqual(nextLossScale(before, true), { ...before, finiteSteps: 1999 })
  assert.deepEqual(nextLossScale({ ...before, finiteSteps: 1999 }, true), { scale: 2048, finiteSteps: 0, skippedSteps: 3 }) // prettier-ignore
  assert.equal(nextLossScale({ scale: 2 ** 127, finiteSteps: 1999, skippedSteps: 0 }, true).scale, 2 ** 127)
})

const settings = trainSettings({
  precision: 'fp16',
  layout: 'whole',
  learningRate: 0.05,
  numTrainEpochs: 3,
  perDeviceTrainBatchSize: 2,
  checkpoint: { everySteps: 1, everySeconds: 1e9, keepLast: 2 },
  divergence: { lossFactor: 3, patience: 5, tries: 0 },
})

/** Overflows, as float16 would, where the loss is scaled by more than `most`. */
function overflowing(most: number): Engine {
  const engine = linearEngine()
  return {
    ...engine,
    async accumulate(batch, progress, dropout, lossScale = 1) {
      const result = await engine.accumulate(batch, progress, dropout, lossScale)
      if (lossScale > most) engine.gradients.get('linear.lora_B.weight')?.fill(Infinity)
      return result
    },
  }
}

function jobOf(engine: Engine, states: TrainingState[] = []): TrainJob {
  let time = 0
  return {
    engine,
    rows: linearRows(13),
    settings,
    environment: thisEnvironment(settings),
    resumeFrom: undefined,
    clock: { now: () => (time += 10) },
    signal: new AbortController().signal,
    save: (state) => Promise.resolve(void states.push(state)),
    report: () => {},
    log: () => {},
  }
}

const bits = ({ trained }: Engine) => Array.from(trained.tensors.values(), ({ data }) => Buffer.from(data.buffer).toString('hex')) // prettier-ignore

test('steps that overflow are left out and the scale halves until they do not; resumed anywhere, the end is the same', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'temper-scale-'))
  t.after(() => rm(dir, { recursive: true }))
  const states: TrainingState[] = []
  const whole = overflowing(10_000)
  const record = await train(jobOf(whole, states))
  assert.equal(record.step, 21)
  // 65536, 32768 and 16384 overflow; 8192 is what it trains with.
  assert.deepEqual(record.lossScale, { scale: 8192, finiteSteps: 18, skippedSteps: 3 })
  assert.deepEqual(record.metrics.slice(0, 4).map(({ lossScale }) => lossScale), [65_536, 32_768, 16_384, 8192]) // prettier-ignore
  assert.deepEqual(record.metrics.slice(0, 4).map(({ gradientNorm }) => gradientNorm === undefined), [true, true, true, false]) // prettier-ignore
  assert.equal(record.metrics[0]?.loss, record.firstLoss)
  for (const state of states) {
    await writeState(dir, state)
    const resumed = overflowing(10_000)
    const read = await readState(dir, resumed.trained)
    assert.equal(read.moments.step, state.moments.step, 'the optimizer has not counted what was left out')
    const again = await train({ ...jobOf(resumed), resumeFrom: read })
    assert.deepEqual(again.lossScale, record.lossScale)
    assert.deepEqual(bits(resumed), bits(whole), `resumed from step ${state.record.step}`)
  }
  assert.ok(states.length > 15)
  assert.equal(states.at(-1)?.moments.step, 18)
})

test('what is not finite at the least scale is not for want of a smaller one', async () => {
  await assert.rejects(train(jobOf(overflowing(0))), (error) => {
    assert.ok(error instanceof NonFiniteError)
    // 65536 = 2^16: sixteen steps halve it to 1.
    assert.match(error.message, /The gradient of step 17 is not finite/)
    return true
  })
})

test('other precisions have no scale', async () => {
  const record = await train({ ...jobOf(overflowing(10_000)), settings: { ...settings, precision: 'exact' } })
  assert.equal(record.lossScale, undefined)
  assert.ok(record.metrics.every((line) => line.gradientNorm !== undefined && line.lossScale === undefined))
})
