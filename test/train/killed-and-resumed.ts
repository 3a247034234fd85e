import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { TransientError } from '../../src/errors.ts'
import type { TrainSettings } from '../../src/train/train-settings.ts'
import { type Attempt, TinyTraining } from './tiny-training.ts'

/** A job that runs through and the same one killed behind a checkpoint and resumed: asserts that both end with the same bits. */
export async function killedAndResumed(
  t: TestContext,
  change: Partial<TrainSettings>,
): Promise<{ undisturbed: Attempt; resumed: Attempt }> {
  const undisturbed = await (await TinyTraining.create(t)).attempt({}, change)
  const training = await TinyTraining.create(t)
  // On a busy disk the first checkpoint may take more than twenty steps of this size.
  let isSaved = false
  const onCheckpoint = () => void (isSaved = true)
  const onProgress = ({ step }: { step: number }) =>
    void (isSaved && step >= 20 && process.kill(training.pid(), 'SIGKILL'))
  await assert.rejects(training.attempt({ onProgress, onCheckpoint }, change), TransientError)
  const resumed = await training.attempt({}, change)
  assert.ok((resumed.summary.resumedFromStep as number) >= 4)
  assert.equal(resumed.summary.exact, true)
  assert.ok(resumed.adapter.equals(undisturbed.adapter))
  return { undisturbed, resumed }
}
