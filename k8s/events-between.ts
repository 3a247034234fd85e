import { type Condition, type FineTuneStatus, WAITS_FOR_APPROVAL } from './fine-tune-resource.ts'
import type { EventText } from './fine-tunes.ts'

/** What a person should be told when the status changes from `before` to `after`. */
export function eventsBetween(before: FineTuneStatus | undefined, after: FineTuneStatus): EventText[] {
  const events: EventText[] = []
  if (runningStage(after) !== undefined && runningStage(after) !== runningStage(before)) {
    events.push({ type: 'Normal', reason: 'StageStarted', message: `Stage ${after.stage} runs.` })
  }
  const told = new Set(before?.recoveries?.map(({ stage, attempt, time }) => `${stage} ${attempt} ${time}`))
  for (const { stage, attempt, time, kind, evidence } of after.recoveries ?? []) {
    if (told.has(`${stage} ${attempt} ${time}`)) continue
    const message = `Attempt ${attempt} of ${stage} failed (${kind}) and is tried again: ${evidence}`
    events.push({ type: 'Warning', reason: 'Recovered', message })
  }
  for (const condition of after.conditions) {
    const last = before?.conditions.find(({ type }) => type === condition.type)
    if (last?.status === condition.status && last.reason === condition.reason) continue
    if (last === undefined && condition.status === 'False' && !isBad(condition)) continue
    // The first minute of waiting is a pod that starts; a recovery has its own event above.
    if (condition.reason === 'Starting' || condition.type === 'Recovering') continue
    const { reason, message } = condition
    events.push({ type: isBad(condition) ? 'Warning' : 'Normal', reason, message })
  }
  return events
}

/** A stage that asks a person does not run yet: the condition says so. */
function runningStage(status: FineTuneStatus | undefined): string | undefined {
  return status?.stages?.find(({ name, state }) => name === status.stage && state !== 'asking')?.name
}

function isBad({ type, status, reason }: Condition): boolean {
  switch (type) {
    case 'Failed':
    case 'Recovering':
    case 'OverBudget':
      return status === 'True'
    case 'Waiting':
      return status === 'True' && reason !== WAITS_FOR_APPROVAL
    case 'TemporalReachable':
    case 'StoreReachable':
      return status === 'False'
    case 'Complete':
    case 'Suspended':
      return false
  }
}
