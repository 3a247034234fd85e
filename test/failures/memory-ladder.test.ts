import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryLadder } from '../../src/failures/memory-ladder.ts'

test('each rung halves the micro-batch, or takes the next divisor, so that a step keeps its rows', () => {
  const rowsOf = (rows: number) =>
    memoryLadder({ microBatchRows: rows, layout: 'by-layer', gradientCheckpointing: 'full' }).map(
      ({ microBatchRows }) => microBatchRows,
    )
  assert.deepEqual(rowsOf(8), [8, 4, 2, 1])
  assert.deepEqual(rowsOf(6), [6, 3, 1])
  assert.deepEqual(rowsOf(15), [15, 5, 1])
  assert.deepEqual(rowsOf(7), [7, 1])
  assert.deepEqual(rowsOf(1), [1])
  for (let rows = 1; rows < 200; rows++) for (const rung of rowsOf(rows)) assert.equal(rows % rung, 0)
})

test('after the rows comes the layout by layer, and after that more is computed again', () => {
  assert.deepEqual(memoryLadder({ microBatchRows: 2, layout: 'whole', gradientCheckpointing: 'selective' }), [
    { microBatchRows: 2, layout: 'whole', gradientCheckpointing: 'selective' },
    { microBatchRows: 1, layout: 'whole', gradientCheckpointing: 'selective' },
    { microBatchRows: 1, layout: 'by-layer', gradientCheckpointing: 'selective' },
    { microBatchRows: 1, layout: 'by-layer', gradientCheckpointing: 'full' },
  ])
  assert.deepEqual(
    memoryLadder({ microBatchRows: 1, layout: 'by-layer', gradientCheckpointing: 'none' }).map(
      (rung) => rung.gradientCheckpointing,
    ),
    ['none', 'selective', 'full'],
  )
  // Of a job that was begun before there was a choice.
  assert.deepEqual(memoryLadder({ microBatchRows: 1, layout: 'by-layer' }).length, 2)
})
