import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NonFiniteError } from '../../src/errors.ts'
import type { Batch } from '../../src/train/batch.ts'
import type { LogLine } from '../../src/train/child-protocol.ts'
import type { Engine } from '../../src/train/engine.ts'
import { thisEnvironment } from '../../src/train/environment.ts'
import { isDiverging } from '../../src/train/spike-watch.ts'
import type { Recheck } from '../../src/train/recheck.ts'
import { train, type TrainJob } from '../../src/train/train.ts'
import { readState, type TrainingState, writeState } from '../../src/train/training-state.ts'
import { linearEngine, linearRows } from './linear-engine.ts'
import { trainSettings } from './settings.ts'

const settings = trainSettings({
  learningRate: 0.05,
  maxSteps: 60,
  perDeviceTrainBatchSize: 4,
  divergence: { lossFactor: 3, patience: 3, tries: 2 },
  checkpoint: { everySteps: 1, everySeconds: 1e9, keepLast: 2 },
})

/** An engine whose accumulate calls count from 0 in `calls`, over all engines of a test; `play` changes what they give. */
function faulty(play: (step: number, lossSum: number, batch: Batch) => number): Engine {
  const engine = linearEngine()
  const { accumulate } = engine
  return {
    ...engine,
    accumulate: async (batch, progress, dropout) => {
      const result = await accumulate(batch, progress, dropout)
      return { ...result, lossSum: play(stepOf, result.lossSum, batch) }
    },
  }
}
/** The step that runs, as the last report said: what a fault is tied to must be the same on resume. */
let stepOf = 0

async function run(engine: Engine, resumeFrom?: TrainingState, change: object = {}) {
  const states: TrainingState[] = []
  const logs: LogLine[] = []
  const rechecks: Recheck[] = []
  stepOf = resumeFrom?.record.step ?? 0
  const clock = { time: 0, now: () => (clock.time += 10) }
  const job: TrainJob = {
    engine,
    rows: linearRows(13),
    settings: { ...settings, ...change },
    environment: thisEnvironment(settings),
    resumeFrom,
    clock,
    signal: new AbortController().signal,
    save: (state) => {
      states.push(state)
      return Promise.resolve()
    },
    report: ({ step }) => (stepOf = step),
    log: (line) => logs.push(line),
    rechecked: (recheck) => rechecks.push(recheck),
  }
  const record = await train(job)
  return { record, states, logs, rechecks, bits: bitsOf(engine) }
}

const bitsOf = (engine: Engine) =>
  Array.from(engine.trained.tensors.values(), ({ data }) => Buffer.from(data).toString('hex'))

/** One batch whose loss is not finite: the tenth step of the second epoch of states, met once. */
const poisoned = () => faulty((step, loss) => (step === 33 ? Number.NaN : loss))
/** Losses that run away from step 40 on, for as long as the rate is whole. */
const spiking = () => faulty((step, loss) => (step >= 40 && step <= 42 ? loss + 1000 : loss))

for (const [what, engine, expected] of [
  ['a loss that is not finite', poisoned, { step: 33, to: 25, reason: 'notFinite', skipped: [33] }],
  ['a loss that runs away', spiking, { step: 43, to: 25, reason: 'spike', skipped: [40, 41, 42] }],
] as const)
  test(`${what}: back to the last good state, its batches left out, at half the rate, the same bits after any kill`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'temper-rescue-'))
    t.after(() => rm(dir, { recursive: true }))
    const undisturbed = await run(engine())
    const { record } = undisturbed
    assert.equal(record.step, 60)
    assert.equal(record.exact, true)
    assert.deepEqual(record.rescue.rollbacks, [expected])
    const steps = record.metrics.map(({ step }) => step - 1)
    assert.ok(expected.skipped.every((step) => !steps.includes(step)))
    assert.equal(steps.length, 60 - expected.skipped.length)
    const plain = await run(linearEngine())
    const rateAt = (metrics: typeof record.metrics, step: number) =>
      metrics.find((line) => line.step === step)?.learningRate as number
    assert.equal(rateAt(record.metrics, 30), rateAt(plain.record.metrics, 30) / 2)
    assert.equal(rateAt(record.metrics, 20), rateAt(plain.record.metrics, 20))

    // Killed at any moment after the state to go back to was saved: the same end.
    const back = undisturbed.states.findIndex(({ record }) => record.rescue.rollbacks.length > 0)
    assert.equal(undisturbed.states[back]?.record.step, 25, 'what it goes on from is saved at once')
    assert.ok(undisturbed.states.every((state) => state.record.rescue.streak === 0))
    for (const state of [undisturbed.states[24], ...undisturbed.states.slice(back)]) {
      if (state === undefined || state.record.step === 60) continue
      await writeState(dir, state)
      const fresh = engine()
      const resumed = await run(fresh, await readState(dir, fresh.trained))
      assert.deepEqual(resumed.bits, undisturbed.bits)
      assert.deepEqual(resumed.record.rescue, record.rescue)
      assert.equal(resumed.record.exact, true)
    }
  })

test('resumed behind the good state, it goes back to where it was resumed and says that it is not exact', async () => {
  const { states } = await run(poisoned())
  const state = states.find(({ record }) => record.step === 30)
  const { record } = await run(poisoned(), state)
  assert.deepEqual(record.rescue.rollbacks.at(-1), { step: 33, to: 30, reason: 'notFinite', skipped: [33] })
  assert.equal(record.exact, false)
})

test('when the tries are spent, it fails with the reason', async () => {
  const hopeless = faulty((step, loss) => (step >= 30 ? Number.NaN : loss))
  await assert.rejects(run(hopeless), (error) => {
    assert.ok(error instanceof NonFiniteError)
    assert.match(error.message, /step 33 is not finite/, 'steps 30 and 31 were left out')
    return true
  })
  const running = faulty((step, loss) => (step >= 30 ? loss + 1000 : loss))
  await assert.rejects(run(running), /The loss has run away: .* the last of 3 such steps in a row/)
})

test('on resume the recorded loss is found again; another one in the same environment is called corruption', async () => {
  const { states } = await run(linearEngine())
  const state = states[9] as TrainingState
  const same = await run(linearEngine(), state)
  assert.equal(same.rechecks[0]?.step, 10)
  assert.equal(same.rechecks[0]?.recomputed, same.rechecks[0]?.recorded)
  assert.equal(same.record.exact, true)
  assert.ok(!same.logs.some(({ level }) => level === 'error'))

  const [tensor] = state.adapter.values()
  tensor?.data.forEach((value, i, data) => (data[i] = value + 0.01))
  const damaged = await run(linearEngine(), state)
  assert.notEqual(damaged.rechecks[0]?.recomputed, damaged.rechecks[0]?.recorded)
  assert.equal(damaged.record.exact, false)
  assert.match(
    damaged.logs.find(({ level }) => level === 'error')?.message ?? '',
    /possible silent corruption/,
  )

  const elsewhere = {
    ...state,
    record: { ...state.record, environment: { ...state.record.environment, threads: 9 } },
  }
  const { logs, record } = await run(linearEngine(), elsewhere)
  assert.ok(!logs.some(({ level }) => level === 'error'))
  assert.ok(logs.some(({ message }) => message === 'the loss differs from the one recorded elsewhere'))
  assert.equal(record.exact, false)
})

test('single spikes, small losses and first steps are no divergence', () => {
  const feed = (losses: number[]) => {
    const rescue = { recent: [], streak: 0, skipped: [], rollbacks: [] }
    return losses.map((loss) => isDiverging(rescue, loss, { lossFactor: 3, patience: 2 }))
  }
  const calm = Array.from({ length: 10 }, () => 1.5)
  assert.ok(!feed([...calm, 9, 1.5, 9, 1.5, 9]).includes(true))
  assert.ok(
    !feed([0.01, 0.2, 0.01, 0.3, ...Array.from({ length: 8 }, () => 0.01), 0.9, 0.9, 0.9]).includes(true),
  )
  assert.ok(!feed([9, 90, 900]).includes(true))
  assert.deepEqual(feed([...calm, 9, 9]).slice(-2), [false, true])
})
