import type { JobView } from '../../jobs/job-view.ts'
import { formatSeconds } from './format.ts'
import { stageSeconds, stageText } from './stage-text.ts'

/** A log that is read later needs no line for every step. */
const PROGRESS_EVERY_MILLISECONDS = 10_000

/**
 * The stages as lines for a log: one when a stage begins, ends or is tried again, and now and then one of progress.
 * Returns a function that says what is new at each look.
 */
export function plainDisplay(line: (text: string) => void): (view: JobView, now: number) => void {
  const said = new Map<string, string>()
  let progressSaidAt = 0
  let progressSaid = ''
  return (view, now) => {
    for (const stage of view.stages) {
      const isRunning = stage.state === 'running' || stage.state === 'retrying'
      const change = isRunning ? `attempt ${stage.attempts}` : stage.state
      const isNew = said.get(stage.name) !== change && stage.state !== 'waiting'
      if (isNew && isRunning) {
        const began =
          stage.attempts > 1 ? `attempt ${stage.attempts} (${stage.failure?.message ?? 'again'})` : 'started'
        line(`${stage.name}: ${began}`)
        progressSaidAt = now
      } else if (isNew) {
        const text = stageText(stage, undefined, true)
        line(
          `${stage.name}: ${stage.state}${text && ` · ${text}`} (${formatSeconds(stageSeconds(stage, now) ?? 0)})`,
        )
      } else if (isRunning && now - progressSaidAt >= PROGRESS_EVERY_MILLISECONDS) {
        const text = stageText(stage, view.progress, view.isWorkedOn)
        if (text !== progressSaid) line(`${stage.name}: ${text}`)
        progressSaid = text
        progressSaidAt = now
      }
      said.set(stage.name, change)
    }
  }
}
