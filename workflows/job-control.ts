import { CancellationScope, condition, defineSignal, isCancellation, setHandler } from '@temporalio/workflow'
import { pauseSignal, resumeSignal } from './signals.ts'

const pause = defineSignal(pauseSignal)
const resume = defineSignal(resumeSignal)

/**
 * Pausing and resuming. A paused job runs nothing: its stage is cancelled, which saves its state, and its training workflow
 * ends, so that neither a machine nor a slot of a worker is held. Resumed, the same stage goes on from what it saved.
 */
export class JobControl {
  #isPaused = false
  #scope: CancellationScope | undefined

  constructor(onChange: (isPaused: boolean) => void) {
    const set = (isPaused: boolean): void => {
      if (this.#isPaused === isPaused) return
      this.#isPaused = isPaused
      if (isPaused) this.#scope?.cancel()
      onChange(isPaused)
    }
    setHandler(pause, () => set(true))
    setHandler(resume, () => set(false))
  }

  /** Stops what runs, with its state saved, and goes on with it at once. */
  again(): void {
    this.#scope?.cancel()
  }

  /** Runs `work` to its end, over any number of pauses. `onPaused` is told when nothing runs any more. */
  async run<T>(work: () => Promise<T>, onPaused: () => void): Promise<T> {
    for (;;) {
      if (this.#isPaused) {
        onPaused()
        // Rejects where the job itself is cancelled.
        await condition(() => !this.#isPaused)
      }
      const scope = new CancellationScope()
      this.#scope = scope
      try {
        // Cancelled alone, without its parent: for a pause, which may be over by then. Cancelled with it: the whole job is.
        return await scope.run(work)
      } catch (error) {
        if (!isCancellation(error) || !scope.consideredCancelled || scope.parent?.consideredCancelled)
          throw error
      } finally {
        this.#scope = undefined
      }
    }
  }
}
