import type { RunChildOptions } from '../train/run-child.ts'
import type { StageContext } from './stage-context.ts'

/** A child process's progress and log as the stage's own. */
export function childOptions(context: StageContext): RunChildOptions {
  const { signal, clock } = context
  return {
    signal,
    clock,
    onLog: (line) => context.log(line),
    onCheckpoint: (step) => context.log({ level: 'info', message: 'checkpoint saved', fields: { step } }),
    onProgress: ({ phase, step, steps, loss, trainedTokens, tokensPerSecond, secondsLeft }) =>
      context.progress({
        phase,
        done: step,
        total: steps,
        trainedTokens,
        ...(loss !== undefined && { loss }),
        ...(tokensPerSecond !== undefined && { tokensPerSecond }),
        ...(secondsLeft !== undefined && { secondsLeft }),
      }),
  }
}
