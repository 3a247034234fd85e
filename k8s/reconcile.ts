import type { V1Node, V1Pod } from '@kubernetes/client-node'
import { approvalOf, isAsking, isResting, type JobView } from '../jobs/job-view.ts'
import { jobIdOf } from '../jobs/job-id.ts'
import { InputError, TransientError } from '../src/errors.ts'
import { resolveDocumentPaths } from '../src/spec/document-paths.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import type { JobPriority } from '../workflows/job.ts'
import { canonicalJson } from '../src/store/canonical-json.ts'
import { decisionText } from '../src/stages/decision.ts'
import { parseFineTune } from '../src/spec/parse-fine-tune.ts'
import { askingStatement } from './asking-statement.ts'
import { eventsBetween } from './events-between.ts'
import { isTrue } from './fine-tune-conditions.ts'
import {
  type ApprovalAnswer,
  type Budget,
  type ConditionType,
  type FineTuneResource,
} from './fine-tune-resource.ts'
import type { FineTunes } from './fine-tunes.ts'
import { type Fleet, fleetOf, whyWaiting } from './fleets.ts'
import type { Jobs } from './jobs.ts'
import type { PodReporter } from './pod-reports.ts'
import { checkBudget, overBudget, spentSoFar } from './spending.ts'
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
  /** What there is to tell jobs about their pods; undefined where nobody looks at pods. */
  reporter: Pick<PodReporter, 'tell' | 'forget'> | undefined
  /** Where that is allowed. */
  cordon(node: string): Promise<void>
  /** The cluster's nodes as they are now; undefined where they are not known yet. */
  nodes(): V1Node[] | undefined
  /** The workers' pods as they are now. */
  pods(): V1Pod[]
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

/** How rarely a job that does not hear is told again. */
const LONGEST_PATIENCE_MILLISECONDS = 300_000
const ABANDON_MILLISECONDS = 10_000
const INVALID = 'InvalidSpec'
/** How src/store/s3-errors.ts begins what it says. */
const STORE_WORDS = /^bucket \S+ at /

interface Job {
  name: string
  spec: FineTuneSpec
  fleet: Fleet
  priority: JobPriority | undefined
  budget: Budget
  answer: ApprovalAnswer | undefined
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
    return this.#report(view, job)
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
    return this.#was('Suspended')
  }

  #was(type: ConditionType): boolean {
    return isTrue(this.#resource.status?.conditions, type)
  }

  /** Seldomer and seldomer: whom nobody hears, a signal every second would bury in history. */
  #patience(type: ConditionType): number {
    const { conditions } = this.#draft.status
    const since = conditions.find((condition) => condition.type === type)?.lastTransitionTime ?? ''
    return this.#patienceSince(Date.parse(since))
  }

  #patienceSince(time: number): number {
    const age = this.#parts.now().getTime() - time
    return Math.min(LONGEST_PATIENCE_MILLISECONDS, Math.max(SOON_MILLISECONDS, age / 2))
  }

  #hasEnded(): boolean {
    const { status } = this.#resource
    const failed = status?.conditions.find(({ type, status }) => type === 'Failed' && status === 'True')
    const hasFailed = failed !== undefined && failed.reason !== INVALID
    return status?.workflowId !== undefined && (hasFailed || isTrue(status.conditions, 'Complete'))
  }

  #readSpec(): Job | undefined {
    const { apiVersion, kind, metadata, spec: written } = this.#resource
    const { suspend: _, fleet: fleetName, priority, budget = {}, approval: answer, ...document } = written
    try {
      const source = { apiVersion, kind, metadata: { name: metadata.name }, spec: document }
      const { name, spec } = parseFineTune(source, `FineTune ${metadata.namespace}/${metadata.name}`)
      const fleet = fleetOf(this.#parts.fleets, fleetName)
      // A job under way is not failed by a budget that cannot be kept.
      if (this.#resource.status?.workflowId === undefined) checkBudget(budget, fleet)
      this.#draft.clear('Failed', 'Accepted', 'The spec is valid.')
      return { name, spec: resolveDocumentPaths(spec, this.#parts.dataRoot), fleet, priority, budget, answer }
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      this.#draft.set('Failed', { status: 'True', reason: INVALID, message: error.message })
      this.#draft.status.stage = 'failed'
      return undefined
    }
  }

  #reachable(): void {
    this.#draft.reach('TemporalReachable', 'Temporal answers.')
  }

  async #suspend(view: JobView | undefined): Promise<number | undefined> {
    if (view) this.#draft.report(view)
    this.#draft.status.stage = 'suspended'
    delete this.#draft.status.completionTime
    const isRunning = view?.state === 'running' && !isResting(view)
    this.#draft.set('Suspended', {
      status: 'True',
      reason: 'Suspended',
      message: isRunning
        ? 'Saving a checkpoint and stopping.'
        : 'Nothing runs; spec.suspend: false starts it.',
    })
    this.#draft.clear('Waiting', 'Suspended', 'Suspended.')
    // Written before the pause: whoever finds the job paused must find out why.
    await this.#write(undefined)
    if (!isRunning) {
      this.#parts.seenOn(this.#uid, undefined)
      return undefined
    }
    if (view.isPaused) return SOON_MILLISECONDS
    await this.#parts.jobs.pause(this.#uid)
    return this.#patience('Suspended')
  }

  async #start({ name, spec, fleet, priority }: Job, view: JobView | undefined): Promise<number> {
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
      priority,
      again: view !== undefined,
    })
    return SOON_MILLISECONDS
  }

  async #report(view: JobView, job: Job): Promise<number | undefined> {
    this.#draft.report(view)
    const spent = spentSoFar(this.#resource.status?.spent, view, job.fleet, this.#parts.now())
    if (spent) this.#draft.status.spent = spent
    // The cancellation of a suspended job has not ended yet: until it has, the job stays suspended.
    if (view.state === 'running' && view.isStopping && this.#wasSuspended) {
      this.#draft.status.stage = 'suspended'
      return this.#write(SOON_MILLISECONDS)
    }
    this.#draft.clear('Suspended', 'Resumed', 'The job goes on.')
    this.#parts.seenOn(this.#uid, view.state === 'running' ? view.workerIdentity : undefined)
    switch (view.state) {
      case 'running':
        await this.#tellOfPods(view)
        this.#recovering(view)
        this.#waiting(view, job.fleet)
        return this.#steer(view, job)
      case 'completed':
        this.#draft.reach('StoreReachable', 'The store answers.')
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
      case 'rejected': {
        const { decision } = approvalOf(view) ?? {}
        const said = decision ? decisionText(decision) : 'rejected'
        this.#end('Failed', 'Rejected', `The publication was ${said}. What the stages have made stays.`)
        return this.#write(undefined)
      }
    }
  }

  /** Pauses a job that has used up its budget, lets one go on that may, and gives it the priority that its spec says. */
  async #steer(view: JobView, { budget, priority, answer }: Job): Promise<number | undefined> {
    const over = overBudget(budget, this.#draft.status.spent, view)
    if (over !== undefined) {
      const message = `Paused with its state saved: ${over}. Raise it and the job goes on.`
      this.#draft.set('OverBudget', { status: 'True', reason: 'BudgetUsedUp', message })
      await this.#write(undefined)
      if (view.isPaused) return undefined
      await this.#parts.jobs.pause(this.#uid)
      return this.#patience('OverBudget')
    }
    // Resumed before that is written: nobody else would do it.
    if (view.isPaused && (this.#wasSuspended || this.#was('OverBudget'))) {
      await this.#parts.jobs.resume(this.#uid)
    }
    this.#draft.clear('OverBudget', 'WithinBudget', 'The budget holds.')
    if (canonicalJson(priority ?? {}) !== canonicalJson(view.priority ?? {})) {
      const isWaiting = !view.isWorkedOn
      await this.#parts.jobs.setPriority(this.#uid, { priority: priority ?? {}, isWaiting })
    }
    return this.#answer(view, answer)
  }

  /** Passes the spec's answer on once the job asks, until it has heard: it takes the first, so twice is as once. */
  async #answer(view: JobView, answer: ApprovalAnswer | undefined): Promise<number | undefined> {
    const next = this.#parts.pollMilliseconds()
    if (answer === undefined || !isAsking(view)) return this.#write(next)
    const since = Date.parse(this.#draft.passOn())
    await this.#write(undefined)
    await this.#parts.jobs.answer(this.#uid, answer)
    return this.#patienceSince(since)
  }

  #end(type: 'Complete' | 'Failed', reason: string, message: string): void {
    this.#draft.set(type, { status: 'True', reason, message })
    this.#draft.clear('Recovering', reason, 'The job has ended.')
    this.#draft.clear('Waiting', reason, 'The job has ended.')
    this.#draft.clear('OverBudget', reason, 'The job has ended.')
  }

  #recovering(view: JobView): void {
    const stage = view.stages.find(({ state }) => state === 'retrying')
    const { kind: failed, message: words = '' } = stage?.failure ?? {}
    // The workers alone use the store: what they met is all that is known of it.
    if (failed === 'transient' && STORE_WORDS.test(words) && !view.isWorkedOn)
      this.#draft.set('StoreReachable', { status: 'False', reason: 'StoreUnreachable', message: words })
    else this.#draft.reach('StoreReachable', 'The store answers.')
    if (stage?.failure) {
      const { kind, message } = stage.failure
      const statement = `${stage.name}, attempt ${stage.attempts}: ${message}`
      this.#draft.set('Recovering', { status: 'True', reason: reasonOf(kind), message: statement })
    } else this.#draft.clear('Recovering', 'Recovered', 'The stage that failed is done.')
  }

  async #tellOfPods(view: JobView): Promise<void> {
    await this.#parts.reporter?.tell(this.#uid, view, async (report) => {
      await this.#parts.jobs.report(this.#uid, report)
      if (report.kind === 'hardware' && report.avoidNode !== undefined)
        await this.#parts.cordon(report.avoidNode)
    })
  }

  #waiting(view: JobView, fleet: Fleet): void {
    const { decision } = approvalOf(view) ?? {}
    if (decision) {
      const reason = reasonOf(decision.answer)
      this.#draft.clear('Waiting', reason, `The publication was ${decisionText(decision)}.`)
      return
    }
    if (isAsking(view)) {
      this.#draft.set('Waiting', askingStatement(view, this.#resource.metadata))
      return
    }
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
        ? whyWaiting(fleet, this.#parts.nodes(), this.#parts.pods())
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
      else if (!view.isWorkedOn && this.#isLongDeleted()) await this.#parts.jobs.abandon(this.#uid)
      return SOON_MILLISECONDS
    }
    this.#parts.seenOn(this.#uid, undefined)
    await this.#parts.fineTunes.setFinalizers(
      this.#resource,
      finalizers.filter((name) => name !== FINALIZER),
    )
    return undefined
  }

  /** Long enough for a job whose training has just ended to end too. */
  #isLongDeleted(): boolean {
    const since = new Date(this.#resource.metadata.deletionTimestamp ?? 0).getTime()
    return this.#parts.now().getTime() - since > ABANDON_MILLISECONDS
  }

  /** Writes the status where it says something new, and tells people what changed. */
  async #write(next: number | undefined): Promise<number | undefined> {
    const { finalizers = [], deletionTimestamp } = this.#resource.metadata
    if (!deletionTimestamp && !finalizers.includes(FINALIZER)) {
      this.#resource = await this.#parts.fineTunes.setFinalizers(this.#resource, [...finalizers, FINALIZER])
    }
    const { status } = this.#draft
    const before = this.#resource.status
    const { dropped } = this.#parts.fineTunes
    if (comparable(status, dropped) === comparable(before, dropped)) return next
    const events = eventsBetween(before, status)
    this.#resource = await this.#parts.fineTunes.applyStatus(this.#resource, status)
    for (const event of events) await this.#parts.fineTunes.emit(this.#resource, event)
    return next
  }
}

/**
 * That something was read again is no news, nor is what the cluster would not keep. Property order does not matter: both come from the
 * same code or from the server.
 */
function comparable(status: object | undefined, dropped: ReadonlySet<string>): string {
  return JSON.stringify(
    sorted(Object.fromEntries(Object.entries(status ?? {}).filter(([name]) => !dropped.has(name)))),
  )
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
