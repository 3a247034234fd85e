import type { Progress } from './child-protocol.ts'

/** How long a child may be silent, in milliseconds. */
export interface StallLimits {
  /** Opening a model: a large quantised one is decoded for minutes and reports nothing meanwhile. */
  load: number
  /** Waiting for an upload, the store's own bounded retries included. */
  checkpoint: number
  /** Before a few steps have been seen: the first one also builds its graphs. */
  firstSteps: number
  /** Never less, however quick the steps are: a busy machine or a paused container is no stall. */
  floor: number
  /** Times the median step. Silence is measured from the last sign of life (a layer, a micro-batch), so 10 is patient. */
  factor: number
}

export const STALL_LIMITS: StallLimits = {
  load: 20 * 60_000,
  checkpoint: 15 * 60_000,
  firstSteps: 15 * 60_000,
  floor: 60_000,
  factor: 10,
}

/** Enough for a median that one slow step does not move. */
const STEPS_REMEMBERED = 31
const STEPS_FOR_MEDIAN = 3

/** Tells a hung child from a slow one: by the age of its progress, never by a heartbeat of its own. */
export class StallWatch {
  readonly #limits: StallLimits
  #phase: Progress['phase'] = 'load'
  #lastSign: number
  #stepBegan: { step: number; at: number } | undefined
  #durations: number[] = []

  constructor(limits: StallLimits, now: number) {
    this.#limits = limits
    this.#lastSign = now
  }

  observe(progress: Pick<Progress, 'phase' | 'step'>, now: number): void {
    this.#lastSign = now
    const began = this.#stepBegan
    if (progress.phase !== this.#phase || began === undefined) {
      // A wait for a checkpoint in between is no part of a step.
      this.#stepBegan = { step: progress.step, at: now }
    } else if (progress.step > began.step) {
      this.#durations.push((now - began.at) / (progress.step - began.step))
      if (this.#durations.length > STEPS_REMEMBERED) this.#durations.shift()
      this.#stepBegan = { step: progress.step, at: now }
    }
    this.#phase = progress.phase
  }

  /** The phase that has been silent for longer than it may be, or undefined. */
  overdue(now: number): { phase: Progress['phase']; silent: number; limit: number } | undefined {
    const silent = now - this.#lastSign
    const limit = this.#limit()
    return silent > limit ? { phase: this.#phase, silent, limit } : undefined
  }

  #limit(): number {
    const { load, checkpoint, firstSteps, floor, factor } = this.#limits
    switch (this.#phase) {
      case 'load':
        return load
      case 'checkpoint':
        return checkpoint
      case 'train':
      case 'evaluate': {
        if (this.#durations.length < STEPS_FOR_MEDIAN) return firstSteps
        const sorted = this.#durations.toSorted((a, b) => a - b)
        const median = sorted[sorted.length >> 1] ?? 0
        return Math.max(floor, factor * median)
      }
    }
  }
}
