import type { StageContext } from '../stages/stage-context.ts'
import { releaseName as release } from './night-state.ts'

export interface ReleaseNameInput {
  jobId: string
  attempt: number
  /** The model. */
  name: string
  schedule: string
}

/** A schedule is gone: its model's name is free for another one. */
export async function releaseName(
  { store }: StageContext,
  { name, schedule }: ReleaseNameInput,
): Promise<void> {
  await release(store, name, schedule)
}
