import type { FineTuneSummary } from '../src/stages/fine-tune-summary.ts'
import type { Terminal } from './display/terminal.ts'
import { ensureWorker } from './ensure-worker.ts'
import { followJob } from './follow-job.ts'
import { jobResult } from './job-result.ts'
import { isAsking, isResting, type JobView } from '../jobs/job-view.ts'
import type { Session } from './session.ts'
import { type JobRequest, submitJob } from './submit-job.ts'
import type { WorkerProcess } from './worker-process.ts'

/** The job ended, was paused or asks a person, or this command was asked to stop before it did. */
export type RunEnd =
  | { kind: 'finished'; view: JobView; result: FineTuneSummary }
  | { kind: 'paused'; view: JobView }
  | { kind: 'asking'; view: JobView }
  | { kind: 'interrupted'; view: JobView; servedElsewhere: boolean }

/** How often a look is taken at whether the `temper up` that served the job is still there. */
const SERVED_MILLISECONDS = 2_000

/** Submits the job or finds it, serves it where nobody else does, and shows it to its end. */
export async function runJob(
  session: Session,
  request: JobRequest,
  terminal: Terminal,
  interrupt: AbortSignal,
): Promise<RunEnd> {
  const say = (message: string): void => terminal.line(terminal.style(message, 'dim'))
  const { attached } = await submitJob(session, request)
  if (attached) say(`Job ${request.name} goes on where it was.`)
  return serveJob(session, request.name, terminal, interrupt)
}

/** Serves a job that is under way where nobody else does, and shows it to its end. */
export async function serveJob(
  session: Session,
  name: string,
  terminal: Terminal,
  interrupt: AbortSignal,
): Promise<RunEnd> {
  const say = (message: string): void => terminal.line(terminal.style(message, 'dim'))
  const service = await serve(session, say)
  try {
    const view = await Promise.race([followJob(session.client, name, terminal, interrupt), service.lost])
    if (view.state !== 'running') {
      return { kind: 'finished', view, result: await jobResult(session.client, name) }
    }
    if (isResting(view)) return { kind: 'paused', view }
    if (isAsking(view)) return { kind: 'asking', view }
    const servedElsewhere = service.worker() === undefined
    if (!servedElsewhere) say('Saving a checkpoint and stopping (Ctrl-C again: stop at once) …')
    return { kind: 'interrupted', view, servedElsewhere }
  } finally {
    await service.stop()
  }
}

interface Service {
  worker(): WorkerProcess | undefined
  /** Rejects where the worker cannot be kept running. */
  lost: Promise<never>
  stop(): Promise<void>
}

/** Sees to it that somebody works on the queues for as long as this command waits. */
async function serve(session: Session, say: (message: string) => void): Promise<Service> {
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => {})
  let worker = await ensureWorker(session, say)
  worker?.lost.catch(lost.reject)
  process.on('exit', () => worker?.kill())
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    if (worker !== undefined) return
    looking = looking.then(async () => {
      worker ??= await ensureWorker(session, say)
      worker?.lost.catch(lost.reject)
    })
    looking.catch(lost.reject)
  }, SERVED_MILLISECONDS)
  return {
    worker: () => worker,
    lost: lost.promise,
    async stop() {
      clearInterval(timer)
      await looking.catch(() => {})
      await worker?.stop()
    },
  }
}
