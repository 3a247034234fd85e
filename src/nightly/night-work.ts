import type { Store } from '../store/store.ts'
import { changeNightState, EMPTY_STATE, type NightState } from './night-state.ts'

/**
 * Which artifacts a night makes, noted before they are made. By it the night counts its own work: an attempt that was lost on the
 * way has done its share, which the next attempt finds done.
 */
export class NightWork {
  readonly #store: Store
  readonly #name: string
  readonly #night: string
  readonly #begun: Set<string>

  /** `night`: the same for every attempt of one night. */
  constructor(store: Store, name: string, night: string, state: NightState | undefined) {
    this.#store = store
    this.#name = name
    this.#night = night
    this.#begun = new Set(state?.made?.night === night ? state.made.digests : [])
  }

  /** Call it only where the artifact is not there yet. */
  async begin(digest: string): Promise<void> {
    if (this.#begun.has(digest)) return
    this.#begun.add(digest)
    await changeNightState(this.#store, this.#name, (found) => ({
      ...EMPTY_STATE,
      ...found,
      made: this.note,
    }))
  }

  isMine(digest: string): boolean {
    return this.#begun.has(digest)
  }

  /** What the night's state keeps of it. */
  get note(): NonNullable<NightState['made']> {
    return { night: this.#night, digests: [...this.#begun] }
  }
}
