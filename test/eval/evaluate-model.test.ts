import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evaluateModel, evaluationBatches } from '../../src/eval/evaluate-model.ts'
import { InputError, StoppedError } from '../../src/errors.ts'
import { linearEngine, linearRows } from '../train/linear-engine.ts'

const signal = new AbortController().signal
const report = () => {}

test('every token weighs alike, however the rows are batched', async () => {
  const rows = linearRows(13)
  const [one, ...others] = await Promise.all(
    [1, 3, 13, 50].map((batchSize) => evaluateModel(linearEngine(), rows, { batchSize, signal, report })),
  )
  assert.ok(one)
  for (const other of others) {
    assert.ok(Math.abs(other.loss - one.loss) < 1e-12)
    assert.equal(other.tokens, one.tokens)
    assert.equal(other.tokenAccuracy, one.tokenAccuracy)
  }
  assert.equal(one.perplexity, Math.exp(one.loss))
  assert.ok(one.tokenAccuracy >= 0 && one.tokenAccuracy <= 1)
})

test('as many reports as batches were announced', async () => {
  for (const [rows, batchSize] of [
    [13, 4],
    [12, 4],
    [1, 4],
  ] as const) {
    let reports = 0
    await evaluateModel(linearEngine(), linearRows(rows), { batchSize, signal, report: () => reports++ })
    assert.equal(reports, evaluationBatches(rows, batchSize))
  }
})

test('without a held-out token there is nothing to say', async () => {
  const options = { batchSize: 4, signal, report }
  await assert.rejects(evaluateModel(linearEngine(), linearRows(0), options), InputError)
})

test('a stop ends an evaluation between two batches', async () => {
  const stop = new AbortController()
  let reports = 0
  const options = { batchSize: 1, signal: stop.signal, report: () => void (++reports === 3 && stop.abort()) }
  await assert.rejects(evaluateModel(linearEngine(), linearRows(9), options), StoppedError)
  assert.equal(reports, 3)
})
