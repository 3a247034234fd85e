import assert from 'node:assert/strict'
import { test } from 'node:test'
import { childOptions } from '../../src/stages/child-options.ts'
import type { StageProgress } from '../../src/stages/stage-progress.ts'
import type { Progress } from '../../src/train/child-protocol.ts'

const atStep = (step: number): Progress => ({
  phase: 'train',
  step,
  steps: 100,
  microBatch: 0,
  layer: 0,
  trainedTokens: 0,
})

test('a kill would lose the steps since the newest checkpoint, and their seconds: those of its upload too', () => {
  const clock = { time: 0, now: () => clock.time }
  const told: StageProgress[] = []
  const { onProgress, onCheckpoint } = childOptions({
    signal: new AbortController().signal,
    log: () => {},
    clock,
    progress: (progress) => told.push(progress),
  })
  const unsaved = () => told.at(-1)?.unsaved
  // It says where it will go on from before it has computed anything: a stop now loses no step.
  clock.time = 4_000
  onProgress?.({ ...atStep(20), phase: 'load' })
  assert.equal(unsaved()?.steps, 0)
  // Loaded, and resumed from step 20.
  clock.time = 5_000
  onProgress?.(atStep(20))
  assert.deepEqual(unsaved(), { steps: 0, seconds: 5 })
  clock.time = 15_000
  onProgress?.(atStep(40))
  assert.deepEqual(unsaved(), { steps: 20, seconds: 15 })
  // Step 40 was copied at 15 s; 16 steps were computed while it was uploaded.
  clock.time = 19_000
  onProgress?.(atStep(56))
  clock.time = 19_001
  onCheckpoint?.({ step: 40, bytes: 1, seconds: 4 })
  const { steps, seconds = 0 } = unsaved() ?? {}
  assert.equal(steps, 16)
  assert.ok(Math.abs(seconds - 4) < 1e-9, String(seconds))
})
