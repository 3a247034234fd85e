import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { learningRateAt, type Schedule } from '../../src/train/schedule.ts'

// What transformers 5.23 gives, written by bench/peers/make_schedules.py.
const cases = JSON.parse(
  readFileSync(new URL('../fixtures/schedules.json', import.meta.url), 'utf8'),
) as (Schedule & { rates: number[] })[]

for (const { rates, ...schedule } of cases)
  test(`${schedule.name} ${JSON.stringify(schedule.options)}, ${schedule.warmupSteps} warm-up steps: transformers' rates`, () => {
    assert.equal(rates.length, schedule.totalSteps)
    for (const [step, want] of rates.entries()) {
      const found = learningRateAt(step, schedule)
      assert.ok(
        Math.abs(found - want) <= 1e-12 * schedule.learningRate,
        `step ${step}: ${found}, not ${want}`,
      )
    }
  })
