import { hostname } from 'node:os'
import { Context } from '@temporalio/activity'
import type { StageProgress, WorkerPlace } from '../src/stages/stage-progress.ts'
import type { Clock } from '../src/train/clock.ts'

/** The SDK passes on at most what its throttle allows; this is how often it is offered something. */
const BEAT_MILLISECONDS = 500
/**
 * A stage that reports nothing for this long hangs. Then the heartbeat stops, the server counts the attempt as lost, and
 * another begins. Training is watched more closely, by the parent of its child process.
 */
const STALL_MILLISECONDS = 30 * 60_000

/** On a cluster the chart names the node. */
const place: WorkerPlace = {
  host: hostname(),
  ...(process.env.NODE_NAME && { node: process.env.NODE_NAME }),
}

/** Runs `work` under a heartbeat that carries its latest progress, for as long as that progress is fresh. */
export async function withHeartbeat<T>(
  clock: Clock,
  work: (progress: (progress: StageProgress) => void) => Promise<T>,
): Promise<T> {
  const context = Context.current()
  let latest: StageProgress | undefined
  let latestAt = clock.now()
  const beat = (): void => {
    if (clock.now() - latestAt < STALL_MILLISECONDS) context.heartbeat(latest && { ...latest, worker: place })
  }
  beat()
  const timer = setInterval(beat, BEAT_MILLISECONDS)
  try {
    return await work((progress) => {
      latest = progress
      latestAt = clock.now()
    })
  } finally {
    clearInterval(timer)
  }
}
