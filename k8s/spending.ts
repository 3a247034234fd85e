import { InputError } from '../src/errors.ts'
import type { JobView } from '../jobs/job-view.ts'
import type { Budget, Spent } from './fine-tune-resource.ts'
import type { Fleet } from './fleets.ts'

const HOUR = 3600

/** What training has used up until now, from what was known at the last look. A machine without GPUs counts as one. */
export function spentSoFar(
  before: Spent | undefined,
  view: JobView,
  fleet: Fleet,
  now: Date,
): Spent | undefined {
  const isTraining = view.stages.some(
    ({ name, state }) => name === 'train' && (state === 'running' || state === 'retrying'),
  )
  const since = isTraining && view.isWorkedOn ? view.workerSince : undefined
  if (before === undefined && since === undefined) return undefined
  const startTime = since?.toISOString()
  const isSame = startTime !== undefined && before?.attempt?.startTime === startTime
  const over = (before?.gpuSeconds ?? 0) + (isSame ? 0 : (before?.attempt?.gpuSeconds ?? 0))
  const running = since ? (Math.max(0, now.getTime() - since.getTime()) / 1000) * gpusOf(fleet) : 0
  const { pricePerHour } = fleet
  return {
    gpuSeconds: Math.round(over),
    ...(startTime !== undefined && { attempt: { startTime, gpuSeconds: Math.round(running) } }),
    ...(pricePerHour !== undefined && {
      cost: (((over + running) / gpusOf(fleet) / HOUR) * pricePerHour).toFixed(4),
    }),
  }
}

/** In one sentence what is used up, or undefined where the budget holds. */
export function overBudget(budget: Budget, spent: Spent | undefined, view: JobView): string | undefined {
  const gpuSeconds = (spent?.gpuSeconds ?? 0) + (spent?.attempt?.gpuSeconds ?? 0)
  if (budget.gpuSeconds !== undefined && gpuSeconds >= budget.gpuSeconds)
    return `training has used ${gpuSeconds} of ${budget.gpuSeconds} GPU-seconds (spec.budget.gpuSeconds)`
  if (budget.cost !== undefined && Number(spent?.cost ?? 0) >= budget.cost)
    return `training has cost ${spent?.cost} of ${budget.cost} (spec.budget.cost)`
  const failures = view.stages.find(({ name }) => name === 'train')?.failures ?? {}
  const failed = Object.values(failures).reduce((sum, { times }) => sum + times, 0)
  if (budget.retries !== undefined && failed > budget.retries)
    return `training has failed ${failed} times; ${budget.retries} retries are allowed (spec.budget.retries)`
  return undefined
}

/** InputError where a cost is limited on a fleet whose price nobody has told. */
export function checkBudget(budget: Budget | undefined, fleet: Fleet): void {
  if (budget?.cost !== undefined && fleet.pricePerHour === undefined)
    throw new InputError(
      `spec.budget.cost: fleet ${fleet.name} has no pricePerHour (values of the chart: fleets); limit gpuSeconds instead`,
    )
}

const gpusOf = ({ gpu }: Fleet): number => gpu?.count ?? 1
