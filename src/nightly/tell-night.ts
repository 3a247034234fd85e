import type { StageContext } from '../stages/stage-context.ts'
import { type Delivery, notify } from './notify.ts'

export interface TellInput extends Delivery {
  jobId: string
  attempt: number
}

/** One try to tell one receiver of one event. */
export async function tellNight(context: StageContext, input: TellInput): Promise<void> {
  const { environment, signal } = context
  await notify(input, { environment, now: new Date(), signal })
}
