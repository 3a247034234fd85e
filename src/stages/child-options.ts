import type { Progress, SavedCheckpoint } from '../train/child-protocol.ts'
import type { RunChildOptions } from '../train/run-child.ts'
import type { StageContext } from './stage-context.ts'

/** A child process's progress and log as the stage's own. */
export function childOptions(
  context: Pick<StageContext, 'signal' | 'clock' | 'progress' | 'log'>,
): RunChildOptions {
  const { signal, clock } = context
  let kept = { step: 0, at: clock.now() }
  let begun = false
  let latest: Progress | undefined
  let saved: SavedCheckpoint | undefined
  const tell = (): void => {
    if (latest === undefined) return
    const {
      phase,
      step,
      steps,
      loss,
      evalLoss,
      bestStep,
      inexact,
      trainedTokens,
      tokensPerSecond,
      secondsLeft,
    } = latest
    context.progress({
      phase,
      done: step,
      total: steps,
      trainedTokens,
      ...(loss !== undefined && { loss }),
      ...(evalLoss !== undefined && { evalLoss }),
      ...(bestStep !== undefined && { bestStep }),
      ...(inexact !== undefined && { inexact }),
      ...(tokensPerSecond !== undefined && { tokensPerSecond }),
      ...(secondsLeft !== undefined && { secondsLeft }),
      ...(saved && { checkpoint: saved }),
      unsaved: { steps: Math.max(0, step - kept.step), seconds: (clock.now() - kept.at) / 1000 },
    })
  }
  return {
    signal,
    clock,
    onLog: (line) => context.log(line),
    onCheckpoint: (checkpoint) => {
      saved = checkpoint
      // Its state was copied when its step ended; the steps since then were computed while it was on its way to the store.
      kept = { step: checkpoint.step, at: clock.now() - checkpoint.seconds * 1000 }
      context.log({ level: 'info', message: 'checkpoint saved', fields: { ...checkpoint } })
      tell()
    },
    onProgress: (progress) => {
      // Until training has begun, and with its first word, the step is that of the checkpoint which it goes on from.
      if (!begun) kept.step = progress.step
      begun ||= progress.phase === 'train'
      latest = progress
      tell()
    },
  }
}
