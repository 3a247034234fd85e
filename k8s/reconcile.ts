import type { JobView } from '../jobs/job-view.ts'
import { jobIdOf } from '../jobs/job-id.ts'
import { InputError, TransientError } from '../src/errors.ts'
import { resolveDocumentPaths } from '../src/spec/document-paths.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import { parseFineTune } from '../src/spec/parse-fine-tune.ts'
import { eventsBetween } from './events-between.ts'
import { isTrue } from './fine-tune-conditions.ts'
import type { FineTuneResource } from './fine-tune-resource.ts'
import type { FineTunes } from './fine-tunes.ts'
import { type Fleet, fleetOf, whyWaiting } from './fleets.ts'
import type { Jobs } from './jobs.ts'
import { StatusDraft } from './status-draft.ts'

const FINALIZER = 'temper.dev/cancel-workflow'

export interface ReconcileParts {
  fineTunes: FineTunes
  jobs: Jobs
  fleets: readonly Fleet[]
  /** Where the machines of the fleets have the data: relative paths of a spec begin here. */
  dataRoot: string
  now(): Date
  /** How often a running job is looked at. */
  pollMilliseconds(): number
  /** Which worker a running job was last seen on; undefined: on none. */
  seenOn(uid: string, workerIdentity: string | undefined): void
}

/** While something is about to change. */
const SOON_MILLISECONDS = 1_000
/** Between two attempts to reach an engine that does not answer. */
const UNREACHABLE_MILLISECONDS = 10_000
/** A worker that is up takes work within a second; a pod that must be started takes longer, and is no news yet. */
const WAITING_SECONDS = 60

/**
 * Brings one FineTune a step nearer to what its spec asks for, from nothing but what is there now: the resource, its workflow
 * and the nodes. May be killed at any line and called again. Answers in how many milliseconds to look again, or undefined
 * where only a change of the resource could give it something to do.
 */
export async function reconcile(
  resource: FineTuneResource,
  parts: ReconcileParts,
): Promise<number | undefined> {
  const step = new Reconciliation(resource, parts)
  try {
    return await step.run()
  } catch (error) {
    if (error instanceof TransientError) return step.unreachable(error)
    throw error
  }
}

class Reconciliation {
  readonly #parts: ReconcileParts
  #resource: FineTuneResource
  #draft: StatusDraft

  constructor(resource: FineTuneResource, parts: ReconcileParts) {
    this.#resource = resource
    this.#parts = parts
    this.#draft = new StatusDraft(resource, parts.now())
  }

  async run(): Promise<number | undefined> {
    if (this.#resource.metadata.deletionTimestamp) return this.#leave()
    if (this.#hasEnded()) {
      this.#parts.seenOn(this.#uid, undefined)
      return undefined
    }
    const job = this.#readSpec()
    if (job === undefined) return this.#write(undefined)
    const view = await this.#parts.jobs.find(this.#uid)
    this.#reachable()
    const { suspend = false } = this.#resource.spec
    if (suspend && (view === undefined || view.state === 'running' || view.state === 'cancelled')) {
      return this.#suspend(view)
    }
    if (view === undefined || (view.state === 'cancelled' && this.#wasSuspended))
      return this.#start(job, view)
    return this.#report(view, job.fleet)
  }

  /** Says which server does not answer, and (by the condition's transition) since when. */
  async unreachable(error: TransientError): Promise<number> {
    this.#draft.set('TemporalReachable', {
      status: 'False',
      reason: 'TemporalUnreachable',
      message: error.message,
    })
    await this.#write(undefined)
    return UNREACHABLE_MILLISECONDS
  }

  get #uid(): string {
    return this.#resource.metadata.uid
  }

  get #wasSuspended(): boolean {
    return isTrue(this.#resource.status?.conditions, 'Suspended')
  }

  #hasEnded(): boolean {
    const { status } = this.#resource
    const ended = isTrue(status?.conditions, 'Complete') || isTrue(status?.conditions, 'Failed')
    return ended && status?.workflowId !== undefined
  }

  #readSpec(): { name: string; spec: FineTuneSpec; fleet: Fleet } | undefined {
    const { apiVersion, kind, metadata, spec: written } = this.#resource
    const { suspend: _, fleet: fleetName, ...document } = written
    try {
      const source = { apiVersion, kind, metadata: { name: metadata.name }, spec: document }
      const { name, spec } = parseFineTune(source, `FineTune ${metadata.namespace}/${metadata.name}`)
      const fleet = fleetOf(this.#parts.fleets, fleetName)
      this.#draft.clear('Failed', 'Accepted', 'The spec is valid.')
      return { name, spec: resolveDocumentPaths(spec, this.#parts.dataRoot), fleet }
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      this.#draft.set('Failed', { status: 'True', reason: 'InvalidSpec', message: error.message })
      this.#draft.status.stage = 'failed'
      return undefined
    }
  }

  #reachable(): void {
    this.#draft.clear('TemporalReachable', 'TemporalReachable', 'Temporal answers.')
    const condition = this.#draft.status.conditions.find(({ type }) => type === 'TemporalReachable')
    if (condition) this.#draft.set('TemporalReachable', { ...condition, status: 'True' })
  }

  async #suspend(view: JobView | undefined): Promise<number | undefined> {
    if (view) this.#draft.report(view)
    this.#draft.status.stage = 'suspended'
    delete this.#draft.status.completionTime
    const isRunning = view?.state === 'running'
    this.#draft.set('Suspended', {
      status: 'True',
      reason: 'Suspended',
      message: isRunning
        ? 'Saving a checkpoint and stopping.'
        : 'Nothing runs; spec.suspend: false starts it.',
    })
    this.#draft.clear('Waiting', 'Suspended', 'Suspended.')
    // Written before the cancellation: whoever finds the workflow cancelled must find out why.
    await this.#write(undefined)
    if (!isRunning) {
      this.#parts.seenOn(this.#uid, undefined)
      return undefined
    }
    if (!view.isStopping) await this.#parts.jobs.cancel(this.#uid)
    return SOON_MILLISECONDS
  }

  async #start(
    { name, spec, fleet }: { name: string; spec: FineTuneSpec; fleet: Fleet },
    view: JobView | undefined,
  ): Promise<number> {
    const { status } = this.#draft
    status.stage = 'queued'
    status.workflowId = jobIdOf(this.#uid)
    // From this write on the API server refuses changes of the spec, so what is started is what the resource says.
    await this.#write(undefined)
    await this.#parts.jobs.start({
      uid: this.#uid,
      name,
      spec,
      trainingQueue: fleet.taskQueue,
      again: view !== undefined,
    })
    return SOON_MILLISECONDS
  }

  async #report(view: JobView, fleet: Fleet): Promise<number | undefined> {
    this.#draft.report(view)
    // The cancellation of a suspended job has not ended yet: until it has, the job stays suspended.
    if (view.state === 'running' && view.isStopping && this.#wasSuspended) {
      this.#draft.status.stage = 'suspended'
      return this.#write(SOON_MILLISECONDS)
    }
    this.#draft.clear('Suspended', 'Resumed', 'The job goes on.')
    this.#parts.seenOn(this.#uid, view.state === 'running' ? view.workerIdentity : undefined)
    switch (view.state) {
      case 'running':
        this.#recovering(view)
        await this.#waiting(view, fleet)
        return this.#write(this.#parts.pollMilliseconds())
      case 'completed':
        this.#end('Complete', 'AllJobsCompleted', `Published ${this.#draft.status.published ?? 'the model'}.`)
        return this.#write(undefined)
      case 'failed':
      case 'terminated':
      case 'cancelled': {
        const failed = view.stages.find(({ state }) => state === 'failed')
        const failure = failed?.failure
        const message = failure ? `${failed.name}: ${failure.message}` : `The workflow was ${view.state}.`
        this.#end('Failed', view.state === 'failed' ? 'FailedJobs' : 'Cancelled', message)
        return this.#write(undefined)
      }
    }
  }

  #end(type: 'Complete' | 'Failed', reason: string, message: string): void {
    this.#draft.set(type, { status: 'True', reason, message })
    this.#draft.clear('Recovering', reason, 'The job has ended.')
    this.#draft.clear('Waiting', reason, 'The job has ended.')
  }

  #recovering(view: JobView): void {
    const stage = view.stages.find(({ state }) => state === 'retrying')
    if (stage?.failure) {
      const { kind, message } = stage.failure
      const statement = `${stage.name}, attempt ${stage.attempts}: ${message}`
      this.#draft.set('Recovering', { status: 'True', reason: reasonOf(kind), message: statement })
    } else this.#draft.clear('Recovering', 'Recovered', 'The stage that failed is done.')
  }

  async #waiting(view: JobView, fleet: Fleet): Promise<void> {
    if (view.isWorkedOn || this.#draft.status.stage !== 'train') {
      this.#draft.clear('Waiting', 'TakenUp', 'A worker has taken up the work.')
      return
    }
    const before = this.#resource.status?.conditions.find(({ type }) => type === 'Waiting')
    const now = this.#parts.now()
    const since = before?.status === 'True' ? Date.parse(before.lastTransitionTime) : now.getTime()
    const isLong = now.getTime() - since >= WAITING_SECONDS * 1000
    this.#draft.set('Waiting', {
      status: 'True',
      reason: isLong ? 'NoWorker' : 'Starting',
      message: isLong
        ? whyWaiting(fleet, await this.#parts.fineTunes.nodes())
        : `waiting for a worker of fleet ${fleet.name}`,
    })
  }

  /** The resource was deleted: its workflow ends with a checkpoint, then the resource may go. */
  async #leave(): Promise<number | undefined> {
    const { finalizers = [] } = this.#resource.metadata
    if (!finalizers.includes(FINALIZER)) return undefined
    const view = await this.#parts.jobs.find(this.#uid)
    if (view?.state === 'running') {
      if (!view.isStopping) await this.#parts.jobs.cancel(this.#uid)
      else if (!view.isWorkedOn) await this.#parts.jobs.abandon(this.#uid)
      return SOON_MILLISECONDS
    }
    this.#parts.seenOn(this.#uid, undefined)
    await this.#parts.fineTunes.setFinalizers(
      this.#resource,
      finalizers.filter((name) => name !== FINALIZER),
    )
    return undefined
  }

  /** Writes the status where it says something new, and tells people what changed. */
  async #write(next: number | undefined): Promise<number | undefined> {
    const { finalizers = [], deletionTimestamp } = this.#resource.metadata
    if (!deletionTimestamp && !finalizers.includes(FINALIZER)) {
      this.#resource = await this.#parts.fineTunes.setFinalizers(this.#resource, [...finalizers, FINALIZER])
    }
    const { status } = this.#draft
    const before = this.#resource.status
    if (withoutReadTime(status) === withoutReadTime(before)) return next
    const events = eventsBetween(before, status)
    this.#resource = await this.#parts.fineTunes.applyStatus(this.#resource, status)
    for (const event of events) await this.#parts.fineTunes.emit(this.#resource, event)
    return next
  }
}

/** That something was read again is no news. Property order does not matter: both come from the same code or from the server. */
function withoutReadTime(status: object | undefined): string {
  return JSON.stringify(sorted(status ?? {}))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([name]) => name !== 'lastUpdatedTime')
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, sorted(inner)]),
  )
}

/** A condition's reason is CamelCase. */
function reasonOf(kind: string): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1)
}
