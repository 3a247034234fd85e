import { approvalOf, type JobView } from '../jobs/job-view.ts'
import { type Decision, decisionText } from '../src/stages/decision.ts'
import type { Recovery as WorkflowRecovery } from '../workflows/recoveries.ts'
import { hostOf } from './pod-reports.ts'
import { type Statement, withCondition } from './fine-tune-conditions.ts'
import type {
  ConditionType,
  FineTuneResource,
  FineTuneStatus,
  Recovery,
  StageReport,
} from './fine-tune-resource.ts'

type Approval = NonNullable<FineTuneStatus['approval']>

/** The next status of a resource, built up from its last one and from what is seen now. */
export class StatusDraft {
  readonly status: FineTuneStatus
  readonly #generation: number
  readonly #now: string

  constructor(resource: FineTuneResource, now: Date) {
    this.#generation = resource.metadata.generation ?? 0
    this.#now = timeText(now)
    const { status } = resource
    this.status = { ...status, conditions: status?.conditions ?? [], observedGeneration: this.#generation }
  }

  set(type: ConditionType, statement: Statement): void {
    const at = { generation: this.#generation, now: this.#now }
    this.status.conditions = withCondition(this.status.conditions, type, statement, at)
  }

  /** Says that it is no longer so; a condition that never was true is not mentioned. */
  clear(type: ConditionType, reason: string, message: string): void {
    if (this.status.conditions.some((condition) => condition.type === type)) {
      this.set(type, { status: 'False', reason, message })
    }
  }

  /** Says that a server answers again; one that always did is not mentioned. */
  reach(type: 'TemporalReachable' | 'StoreReachable', message: string): void {
    if (this.status.conditions.some((condition) => condition.type === type))
      this.set(type, { status: 'True', reason: type, message })
  }

  /** Takes over what the job says of itself. */
  report(view: JobView): void {
    const { status } = this
    status.workflowId = view.jobId
    status.startTime ??= timeText(view.startedAt)
    this.#addRecoveries(view)
    status.stages = view.stages.map(stageReport)
    status.artifacts = view.stages.flatMap(({ name, digest }) =>
      digest === undefined ? [] : [{ stage: name, digest }],
    )
    const published = view.stages.find(({ name }) => name === 'publish')?.summary
    if (published) status.published = `${String(published['name'])}@${String(published['version'])}`
    status.stage = stageOf(view)
    this.#approval(view)
    if (view.closedAt) status.completionTime = timeText(view.closedAt)
    else delete status.completionTime
    const pod = view.workerIdentity === undefined ? undefined : hostOf(view.workerIdentity)
    const node = view.progress?.worker?.host === pod ? view.progress?.worker?.node : undefined
    if (view.state === 'running' && pod !== undefined)
      status.worker = { pod, ...(node !== undefined && { node }) }
    else delete status.worker
    this.#progress(view)
  }

  #approval(view: JobView): void {
    const asked = approvalOf(view)
    const { approval: before } = this.status
    if (asked === undefined) {
      delete this.status.approval
      return
    }
    const { askedAt, decision } = asked
    const since = timeText(new Date(askedAt))
    const passedOnTime = before?.since === since ? before.passedOnTime : undefined
    this.status.approval = {
      since,
      ...(passedOnTime !== undefined && { passedOnTime }),
      ...(decision && answered(decision)),
    }
  }

  /** The answer of the spec goes to the job. Returns since when it does. */
  passOn(): string {
    const { approval } = this.status
    if (approval) approval.passedOnTime ??= this.#now
    return approval?.passedOnTime ?? this.#now
  }

  /** What the workflow's record says, which no look can miss. What an earlier run had recovered from stays. */
  #addRecoveries(view: JobView): void {
    const known = view.stages.flatMap(({ name, state, recoveries = [] }) =>
      // What a stage failed of in the end was not recovered from.
      (state === 'failed' ? recoveries.slice(0, -1) : recoveries).map((one) => recoveryOf(name, one)),
    )
    const keyOf = ({ stage, attempt, time }: Recovery) => `${stage} ${attempt} ${time}`
    const all = new Map((this.status.recoveries ?? []).map((one) => [keyOf(one), one]))
    for (const one of known) all.set(keyOf(one), one)
    const recoveries = [...all.values()].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
    if (recoveries.length > 0) this.status.recoveries = recoveries.slice(-MAX_RECOVERIES)
  }

  #progress(view: JobView): void {
    const { progress } = view
    if (progress === undefined) {
      // What was read last stays, for those who look after the end.
      if (view.state === 'running' && !view.isWorkedOn) delete this.status.progress
      return
    }
    const { done, total, loss, tokensPerSecond, trainedTokens, secondsLeft } = progress
    const numbers = { loss, tokensPerSecond, trainedTokens, done, total }
    const metrics = Object.entries(numbers).flatMap(([name, value]) =>
      value === undefined ? [] : [{ name, value: numberText(value) }],
    )
    this.status.progress = {
      ...(total && { percent: Math.min(100, Math.floor((100 * done) / total)) }),
      ...(secondsLeft !== undefined && { estimatedRemainingSeconds: Math.round(secondsLeft) }),
      lastUpdatedTime: this.#now,
      metrics,
    }
  }
}

/** The newest are kept: a status must stay small enough for etcd and for eyes. */
const MAX_RECOVERIES = 50

function recoveryOf(stage: string, one: WorkflowRecovery): Recovery {
  const { attempt, kind, message, evidence, at, lost } = one
  return {
    stage,
    attempt,
    kind,
    evidence: [message, ...evidence].join('; '),
    time: timeText(new Date(at)),
    ...(lost && { stepsLost: lost.steps, gpuSecondsLost: numberText(lost.seconds) }),
  }
}

function answered({ answer, by, comment, at }: Decision): Omit<Approval, 'since'> {
  return {
    decision: answer,
    ...(by !== undefined && { by }),
    ...(comment !== undefined && { comment }),
    time: timeText(new Date(at)),
  }
}

function stageReport(stage: JobView['stages'][number]): StageReport {
  const { name, state, attempts, startedAt, finishedAt, digest, failure, approval } = stage
  return {
    name,
    state,
    attempts,
    ...(startedAt !== undefined && { startTime: timeText(new Date(startedAt)) }),
    ...(finishedAt !== undefined && { completionTime: timeText(new Date(finishedAt)) }),
    ...(digest !== undefined && { digest }),
    ...(failure !== undefined && { message: `${failure.kind}: ${failure.message}` }),
    ...(state === 'asking' &&
      approval && { message: `waiting for approval since ${timeText(new Date(approval.askedAt))}` }),
    ...(state === 'rejected' && approval?.decision && { message: decisionText(approval.decision) }),
  }
}

const GOES_ON: readonly string[] = ['running', 'retrying', 'asking']

function stageOf(view: JobView): string {
  switch (view.state) {
    case 'completed':
      return 'complete'
    case 'rejected':
      return 'rejected'
    case 'failed':
    case 'terminated':
    case 'cancelled':
      return 'failed'
    case 'running':
      if (view.isPaused) return 'paused'
      return view.stages.find(({ state }) => GOES_ON.includes(state))?.name ?? 'queued'
  }
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
function timeText(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/** Four significant digits are what a person compares; whole numbers stay whole. */
function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4)
}
