import { TransientError } from '../errors.ts'
import { checkpointInterval } from './checkpoint-interval.ts'
import type { Clock } from './clock.ts'

export interface CheckpointerOptions {
  everySteps: number
  /** auto: by how long a save takes (checkpoint-interval.ts). */
  everySeconds: number | 'auto'
  /** The step of the checkpoint that training begins with, 0 for a fresh start. */
  startStep: number
  clock: Clock
  /** A save that failed for the moment: training goes on, the next one is tried when it is due. */
  onFailure: (step: number, error: TransientError) => void
}

/**
 * Saves beside training, one save at a time. While one is under way none is due: a slow store makes checkpoints rarer, not
 * training slower.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions
  #savedStep: number
  #begunStep: number
  #begunAt: number
  #saveSeconds: number | undefined
  #underWay: Promise<void> | undefined
  #failure: { error: unknown } | undefined

  constructor(options: CheckpointerOptions) {
    this.#options = options
    this.#savedStep = options.startStep
    this.#begunStep = options.startStep
    this.#begunAt = options.clock.now()
  }

  /** Steps up to here are safe. */
  get savedStep(): number {
    return this.#savedStep
  }

  /** `isWanted`: this step is one to keep, and waits for no interval. */
  due(step: number, isWanted = false): boolean {
    const { everySteps, everySeconds, clock } = this.#options
    if (this.#underWay || step === this.#begunStep) return false
    if (isWanted) return true
    const seconds = everySeconds === 'auto' ? checkpointInterval(this.#saveSeconds) : everySeconds
    return step - this.#begunStep >= everySteps || clock.now() - this.#begunAt >= seconds * 1000
  }

  /** `save` must have copied what it needs when it returns its promise. */
  begin(step: number, save: () => Promise<void>): void {
    this.#begunStep = step
    this.#begunAt = this.#options.clock.now()
    this.#underWay = save()
      .then(
        () => {
          this.#savedStep = step
          this.#saveSeconds = (this.#options.clock.now() - this.#begunAt) / 1000
        },
        (error: unknown) => {
          if (error instanceof TransientError) this.#options.onFailure(step, error)
          else this.#failure = { error }
        },
      )
      .finally(() => {
        this.#underWay = undefined
      })
  }

  /** Throws what a save failed with, where going on would be of no use: fenced, a full disk, no permission. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error
  }

  /** Waits for the save that is under way. */
  async settle(): Promise<void> {
    await this.#underWay
    this.throwIfFailed()
  }
}
