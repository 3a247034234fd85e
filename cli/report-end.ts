import { isAbsolute, relative } from 'node:path'
import { artifactPlaces } from './artifact-places.ts'
import { formatChange, formatCount, formatLoss, formatSeconds } from './display/format.ts'
import { INTERRUPTED_EXIT } from './interrupt.ts'
import type { JobView } from '../jobs/job-view.ts'
import type { Outputs } from './outputs.ts'
import type { RunEnd } from './run-job.ts'
import type { Session } from './session.ts'

/** Says how a run ended: what was measured and where everything lies, or how to go on. */
export async function reportEnd(
  session: Session,
  name: string,
  end: RunEnd,
  command: string,
  outputs: Outputs,
): Promise<void> {
  const { terminal } = outputs
  if (end.kind === 'interrupted') {
    process.exitCode = INTERRUPTED_EXIT
    terminal.line(
      end.servedElsewhere
        ? `Job ${name} goes on without this command. Look at it with: temper status ${name}`
        : `Job ${name} is stopped, nothing is lost. Go on with: ${command}`,
    )
    outputs.json({ job: name, state: 'stopped' })
    return
  }
  if (end.kind === 'paused') {
    terminal.line(`Job ${name} is paused, nothing is lost. Go on with: temper resume ${name}`)
    outputs.json({ job: name, state: 'paused' })
    return
  }
  if (end.kind === 'asking') {
    terminal.line(
      `Job ${name} waits for approval, and nothing runs until then. Publish it with: temper approve ${name} (or not: temper reject ${name})`,
    )
    outputs.json({ job: name, state: 'waitingForApproval' })
    return
  }
  const { view, result } = end
  const { base, tuned } = result.evaluation
  const places = await artifactPlaces(session.store, result)
  const seconds = secondsOf(view)
  terminal.line()
  terminal.line(
    terminal.style(
      `Evaluation loss ${formatLoss(base.loss)} → ${formatLoss(tuned.loss)} (${formatChange(base.loss, tuned.loss)})`,
      'bold',
    ),
  )
  terminal.line(
    `${formatCount(result.training.trainedTokens)} tokens trained, ${formatSeconds(seconds)} in all, ${result.published === undefined ? 'not published by itself' : `published as ${result.published.name} version ${result.published.version}`}`,
  )
  terminal.line()
  const width = Math.max(...Object.keys(places).map((key) => key.length))
  for (const [key, place] of Object.entries(places)) {
    terminal.line(`  ${key.padEnd(width)}  ${nearPath(place)}`)
  }
  if (places.merged === undefined) {
    terminal.line(
      `The artifacts are not in ${session.storeUri}: the worker has another store; set TEMPER_STORE to it.`,
    )
  }
  outputs.json({
    job: name,
    state: view.state,
    evalLossBefore: base.loss,
    evalLossAfter: tuned.loss,
    trainedTokens: result.training.trainedTokens,
    seconds,
    artifacts: places,
  })
}

/** As a person in this folder would type it. */
function nearPath(place: string): string {
  if (!isAbsolute(place)) return place
  const near = relative(process.cwd(), place)
  return near.length < place.length ? near : place
}

function secondsOf(view: JobView): number {
  return ((view.closedAt ?? view.startedAt).getTime() - view.startedAt.getTime()) / 1000
}
