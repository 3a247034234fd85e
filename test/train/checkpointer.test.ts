import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { test } from 'node:test'
import { FencedError, TransientError } from '../../src/errors.ts'
import { Checkpointer } from '../../src/train/checkpointer.ts'
import { checkpointInterval } from '../../src/train/checkpoint-interval.ts'

function checkpointer(startStep = 0) {
  const clock = { time: 0, now: () => clock.time }
  const failures: number[] = []
  const made = new Checkpointer({
    everySteps: 10,
    everySeconds: 60,
    startStep,
    clock,
    onFailure: (step) => failures.push(step),
  })
  return { made, clock, failures }
}

test('a checkpoint is due after so many steps or seconds, whichever comes first', () => {
  const { made, clock } = checkpointer(20)
  assert.equal(made.due(29), false)
  assert.equal(made.due(30), true)
  clock.time = 59_999
  assert.equal(made.due(21), false)
  clock.time = 60_000
  assert.equal(made.due(21), true)
  assert.equal(made.due(20), false, 'this step is saved')
})

test('while a save is under way none is due, and its step counts as saved only when it is done', async () => {
  const { made } = checkpointer()
  const { promise, resolve } = Promise.withResolvers<void>()
  made.begin(10, () => promise)
  assert.equal(made.due(25), false)
  assert.equal(made.savedStep, 0)
  resolve()
  await made.settle()
  assert.equal(made.savedStep, 10)
  assert.equal(made.due(25), true)
})

test('a store that fails for the moment does not stop training; the next checkpoint is tried when due', async () => {
  const { made, failures } = checkpointer()
  made.begin(10, () => Promise.reject(new TransientError('503')))
  await made.settle()
  assert.deepEqual(failures, [10])
  assert.equal(made.savedStep, 0)
  assert.equal(made.due(20), true)
})

test('a fenced save ends training', async () => {
  const { made } = checkpointer()
  made.begin(10, () => Promise.reject(new FencedError('epoch 3 owns the job')))
  await setImmediate()
  assert.throws(() => made.throwIfFailed(), FencedError)
  await assert.rejects(made.settle(), FencedError)
})

test('auto: the interval follows from how long a save took', async () => {
  const clock = { time: 0, now: () => clock.time }
  const made = new Checkpointer({
    everySteps: 1e9,
    everySeconds: 'auto',
    startStep: 0,
    clock,
    onFailure: () => assert.fail(),
  })
  clock.time = 65_000
  assert.equal(made.due(1), false)
  clock.time = 66_000
  assert.equal(made.due(1), true)
  made.begin(1, () => {
    clock.time += 5_000
    return Promise.resolve()
  })
  await made.settle()
  // √(2 · 10800 s · 5 s) = 328.6 s
  clock.time = 66_000 + 328_000
  assert.equal(made.due(2), false)
  clock.time = 66_000 + 329_000
  assert.equal(made.due(2), true)
  assert.deepEqual([checkpointInterval(0.001), checkpointInterval(1e6)], [15, 900])
})
