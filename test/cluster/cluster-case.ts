import type { Surroundings } from './surroundings.ts'

/** One thing shown on a real cluster. */
export interface ClusterCase {
  name: string
  /** In a sentence. */
  what: string
  /** Why this machine can't show it, or undefined. */
  missing(): Promise<string | undefined>
  /** Throws where it is not so. `say` prints what was seen. */
  run(place: Surroundings, say: (line: string) => void): Promise<void>
}
