import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Context, type Info } from '@temporalio/activity'
import { oomKillCount } from '../src/failures/cgroup-memory.ts'
import { FencedError } from '../src/errors.ts'
import type { Lost, Recovered } from '../src/failures/failure-details.ts'
import { JobLog } from '../src/stages/job-log.ts'
import type { StageContext } from '../src/stages/stage-context.ts'
import type { Store } from '../src/store/store.ts'
import { monotonicClock } from '../src/train/clock.ts'
import { applicationFailure } from './application-failure.ts'
import { attemptObserver } from './attempt-observer.ts'
import { withHeartbeat } from './with-heartbeat.ts'

/** What every activity of a worker shares. */
export interface WorkerPlace {
  store: Store
  /** Removed as a whole when the worker's process is gone. */
  scratchRoot: string
  artifactCache: string
  downloadCache: string
  environment: Record<string, string | undefined>
}

/** What every stage's input names. */
export interface AttemptInput {
  jobId: string
  /** From 1. */
  attempt: number
  /** What the attempt before it met. */
  after?: Recovered
}

/**
 * A stage as an activity: a scratch folder and a log of this attempt's own, heartbeats while it makes progress, its errors as
 * Temporal's. The stage itself knows nothing of all this.
 */
export function stageActivity<I extends AttemptInput, O>(
  place: WorkerPlace,
  stage: string,
  run: (context: StageContext, input: I) => Promise<O>,
): (input: I) => Promise<O> {
  return async (input) => {
    const attemptName = `a${input.attempt}-${randomBytes(6).toString('hex')}`
    const scratchDir = join(place.scratchRoot, `${input.jobId}-${stage}-${attemptName}`)
    const observer = attemptObserver.getStore()
    const log = new JobLog(place.store, {
      jobId: input.jobId,
      stage,
      attempt: attemptName,
      trace: observer?.traceId,
      hear: observer && ((line) => observer.log(line)),
    })
    const oomKillsBefore = oomKillCount() ?? 0
    let lost: Lost | undefined
    try {
      await mkdir(scratchDir, { recursive: true })
      return await withHeartbeat(monotonicClock, (progress) =>
        run(
          {
            ...place,
            scratchDir,
            attemptName,
            run: runOf(Context.current().info),
            clock: monotonicClock,
            signal: Context.current().cancellationSignal,
            progress: (latest) => {
              lost = latest.unsaved
              observer?.progress(latest)
              progress(latest)
            },
            log: (line) => log.write(line),
          },
          input,
        ),
      )
    } catch (error) {
      // A zombie has nothing to complain about: the job goes on elsewhere.
      const level = error instanceof FencedError ? 'warn' : 'error'
      log.write({ level, message: messageOf(error), fields: evidenceOf(error) })
      const oomKills = (oomKillCount() ?? 0) - oomKillsBefore
      throw applicationFailure(error, { oomKills, lost, node: place.environment.NODE_NAME })
    } finally {
      await Promise.all([log.close(), rm(scratchDir, { recursive: true, force: true })])
    }
  }
}

/** Unique for each run of a workflow, a new run under the same id included. */
function runOf({ workflowExecution, activityId }: Info): string {
  // An activity that no workflow has started is a run of its own.
  return workflowExecution?.runId ?? activityId
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Where it went wrong, and what is known of a child process that ended (ChildEvidence): for whoever has to find out why. */
function evidenceOf(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return {}
  const { stack, cause } = error
  return { stack, ...(typeof cause === 'object' && !(cause instanceof Error) && { evidence: cause }) }
}
