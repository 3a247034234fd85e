import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@temporalio/client'
import { liveBlock } from './display/live-display.ts'
import { plainDisplay } from './display/plain-display.ts'
import type { Terminal } from './display/terminal.ts'
import { isAsking, isResting, type JobView, viewJob } from '../jobs/job-view.ts'

/** The spinner's pace. */
const DRAW_MILLISECONDS = 200
/** How often the server is asked: every heartbeat is a second apart. */
const LOOK_EVERY_DRAWS = 3

/** Shows a job until it is closed, paused or asks a person, or until `signal` is aborted. Returns the last look. */
export async function followJob(
  client: Client,
  name: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<JobView> {
  const say = plainDisplay((text) => terminal.line(text))
  let view = await viewJob(client, name)
  for (let draws = 0; ; draws++) {
    if (draws % LOOK_EVERY_DRAWS === 0) view = await viewJob(client, name)
    const now = Date.now()
    if (terminal.isInteractive) terminal.block(liveBlock(terminal, view, now))
    else say(view, now)
    if (view.state !== 'running' || isResting(view) || isAsking(view) || signal.aborted) break
    await sleep(DRAW_MILLISECONDS, undefined, { signal }).catch(() => {})
  }
  // The block stays where it is, as lines.
  if (terminal.isInteractive) {
    terminal.block([])
    for (const line of liveBlock(terminal, view, Date.now())) terminal.line(line)
  }
  return view
}
