import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { formatSeconds } from '../display/format.ts'

/** Says once in a line what has become of a FineTune since the last look. */
export function statusLines(say: (line: string) => void): (resource: FineTuneResource) => void {
  const told = new Set<string>()
  const once = (key: string, line: string): void => {
    if (told.has(key)) return
    told.add(key)
    say(line)
  }
  return ({ status }) => {
    if (status === undefined) return
    for (const { name, state, message } of status.stages ?? []) {
      const stage = name.padEnd(STAGE_WIDTH)
      if (state === 'done' || state === 'skipped') once(`${name} done`, `${stage}${state}`)
      else if (state === 'running') once(`${name} running`, `${stage}running`)
      else if (state === 'failed') once(`${name} failed`, `${stage}failed: ${message ?? ''}`)
    }
    for (const { stage, attempt, kind, evidence } of status.recoveries ?? [])
      once(
        `${stage} ${attempt} ${kind}`,
        `${stage.padEnd(STAGE_WIDTH)}attempt ${attempt} failed (${kind}) and is tried again: ${evidence}`,
      )
    for (const { type, status: is, message, lastTransitionTime } of status.conditions)
      if (is === 'True' && SHOWN.includes(type)) once(`${type} ${lastTransitionTime} ${message}`, message)
    const { progress } = status
    if (progress?.percent !== undefined) {
      const loss = progress.metrics.find(({ name }) => name === 'loss')?.value
      const left = progress.estimatedRemainingSeconds
      const tenth = Math.floor(progress.percent / 10)
      once(
        `${status.stage} ${tenth}`,
        [
          `${(status.stage ?? '').padEnd(STAGE_WIDTH)}${progress.percent} %`,
          ...(loss === undefined ? [] : [`loss ${loss}`]),
          ...(left === undefined ? [] : [`${formatSeconds(left)} left`]),
        ].join(', '),
      )
    }
  }
}

const STAGE_WIDTH = 10
const SHOWN: readonly string[] = ['Waiting', 'Suspended', 'OverBudget']
