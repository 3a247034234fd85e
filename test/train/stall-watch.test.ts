import assert from 'node:assert/strict'
import { test } from 'node:test'
import { STALL_LIMITS, StallWatch } from '../../src/train/stall-watch.ts'

const limits = { load: 1000, checkpoint: 2000, firstSteps: 3000, floor: 100, factor: 10 }

function watchOfSteps(milliseconds: number, steps: number) {
  const watch = new StallWatch(limits, 0)
  for (let step = 0; step <= steps; step++) watch.observe({ phase: 'train', step }, step * milliseconds)
  return { watch, last: steps * milliseconds }
}

test('a load may be silent for the limit of a load, not longer', () => {
  const watch = new StallWatch(limits, 500)
  assert.equal(watch.overdue(1500), undefined)
  assert.deepEqual(watch.overdue(1501), { phase: 'load', silent: 1001, limit: 1000 })
})

test('the first steps, which also build their graphs, have a limit of their own', () => {
  const { watch, last } = watchOfSteps(50, 1)
  assert.equal(watch.overdue(last + 3000), undefined)
  assert.equal(watch.overdue(last + 3001)?.limit, 3000)
})

test('later a step may take ten times its median', () => {
  const { watch, last } = watchOfSteps(50, 8)
  assert.equal(watch.overdue(last + 500), undefined)
  assert.equal(watch.overdue(last + 501)?.limit, 500)
})

test('quick steps do not make the limit shorter than its floor', () => {
  const { watch, last } = watchOfSteps(1, 8)
  assert.equal(watch.overdue(last + 100), undefined)
  assert.equal(watch.overdue(last + 101)?.limit, 100)
})

test('one slow step does not move the median', () => {
  const { watch, last } = watchOfSteps(50, 8)
  watch.observe({ phase: 'train', step: 9 }, last + 450)
  assert.equal(watch.overdue(last + 450 + 501)?.limit, 500)
})

test('a slow step that shows its layers is no stall', () => {
  const { watch, last } = watchOfSteps(50, 8)
  for (let layer = 1; layer <= 30; layer++) {
    watch.observe({ phase: 'train', step: 8 }, last + layer * 400)
    assert.equal(watch.overdue(last + layer * 400 + 399), undefined)
  }
})

test('messages that skip steps count for all of them', () => {
  const watch = new StallWatch(limits, 0)
  for (let step = 0; step <= 40; step += 10) watch.observe({ phase: 'train', step }, step * 50)
  assert.equal(watch.overdue(2000 + 501)?.limit, 500)
})

test('a wait for the store has the limit of a checkpoint', () => {
  const { watch, last } = watchOfSteps(50, 8)
  watch.observe({ phase: 'checkpoint', step: 8 }, last)
  assert.equal(watch.overdue(last + 2000), undefined)
  assert.deepEqual(watch.overdue(last + 2001), { phase: 'checkpoint', silent: 2001, limit: 2000 })
})

test('the limits in use leave a slow machine a minute at least', () => {
  assert.ok(
    Math.min(...Object.values(STALL_LIMITS).filter((value) => value !== STALL_LIMITS.factor)) >= 60_000,
  )
})
