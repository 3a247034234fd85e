import { CancellationScope, condition, defineSignal, setHandler } from '@temporalio/workflow'
import type { Lost } from '../src/failures/failure-details.ts'
import type { FailureKind } from '../src/failures/failure-kind.ts'
import { type Failure, WorkerGone } from './failure.ts'
import { podReportSignal } from './signals.ts'

/** What the controller of a cluster has seen of the pod that an attempt ran on, and what it makes of it. */
export interface PodReport {
  stage: string
  /** The attempt that was last seen on the pod. */
  attempt: number
  pod: string
  /** The worker's process is gone for certain: its heartbeat need not be waited for. */
  ended: boolean
  /** The API server has the pod no more, although its process may still be there for a moment. */
  podGone?: true
  /** What kind of failure it is, where the pod, its node and their events say. */
  kind?: FailureKind
  evidence: string[]
  avoidNode?: string
  /** By the worker's last heartbeat. */
  lost?: Lost
}

const podReport = defineSignal<[PodReport]>(podReportSignal)

/** Which kinds the cluster knows more about, and what it may make of them. What a trainer said of itself for certain stays. */
const EXPLAINED_BY_CLUSTER: Partial<Record<FailureKind, readonly FailureKind[]>> = {
  lost: ['outOfMemory', 'preempted', 'nodeLost', 'hardware', 'gpuFault'],
  stopped: ['preempted', 'nodeLost'],
  killed: ['outOfMemory', 'preempted', 'nodeLost', 'hardware', 'gpuFault'],
  gpuFault: ['hardware'],
  internal: ['hardware', 'gpuFault'],
}
/** A worker that is drained was told so before it stops, and its report comes before that or not at all. */
const WAITED_FOR: readonly FailureKind[] = ['lost', 'killed', 'gpuFault', 'internal']
/**
 * How long a failure waits to be explained. A container's end is known to the controller within two seconds, long before a
 * heartbeat is missed; a lost node is known later than the job should wait for, and its report corrects the record.
 */
const PATIENCE = '3s'
/** The newest are what matters. */
const MAX_REPORTS = 20

/**
 * Reports of the cluster about the pods of one workflow's attempts: they shorten the wait for a worker that is gone, and say
 * what its silence meant. Only jobs that a controller has started have them: nobody else reports.
 */
export class PodReports {
  readonly #reports: PodReport[] = []
  readonly #stage: () => string
  #running: { attempt: number; abandon: (report: PodReport) => void } | undefined

  /** `late` hears every report: what it explains may be over already. */
  constructor(stage: () => string, late: (report: PodReport) => void) {
    this.#stage = stage
    setHandler(podReport, (report) => {
      this.#reports.push(report)
      if (this.#reports.length > MAX_REPORTS) this.#reports.shift()
      if (report.ended && report.stage === stage() && report.attempt === this.#running?.attempt)
        this.#running.abandon(report)
      late(report)
    })
  }

  /** Runs an attempt, and gives it up when its worker is reported to be gone: fencing holds whatever is left of it. */
  async watch<T>(attempt: number, run: () => Promise<T>): Promise<T> {
    const gone = Promise.withResolvers<never>()
    const scope = new CancellationScope()
    const running = scope.run(run)
    this.#running = { attempt, abandon: (report) => gone.reject(new WorkerGone(report)) }
    try {
      return await Promise.race([running, gone.promise])
    } catch (error) {
      if (error instanceof WorkerGone) {
        running.catch(() => {})
        scope.cancel()
      }
      throw error
    } finally {
      this.#running = undefined
    }
  }

  /** The failure as the cluster explains it; as it was where nothing is reported in time. */
  async explain(attempt: number, failure: Failure): Promise<Failure> {
    if (EXPLAINED_BY_CLUSTER[failure.kind] === undefined) return failure
    const stage = this.#stage()
    const find = () => this.#reports.findLast((report) => isAbout(report, stage, attempt, failure))
    if (WAITED_FOR.includes(failure.kind)) await condition(() => find() !== undefined, PATIENCE)
    const report = find()
    return report ? explained(failure, report) : failure
  }
}

/** Whether a report is about the pod on which an attempt failed. */
export function isAbout(report: PodReport, stage: string, attempt: number, { worker }: Failure): boolean {
  if (worker !== undefined) return report.pod === worker.host
  return report.stage === stage && report.attempt === attempt
}

/** What a report makes of a failure. */
export function explained(failure: Failure, { kind, evidence, avoidNode }: PodReport): Failure {
  const all = [...new Set([...evidence, ...failure.evidence])]
  if (kind === undefined || !EXPLAINED_BY_CLUSTER[failure.kind]?.includes(kind))
    return { ...failure, evidence: all }
  return { ...failure, kind, evidence: all, ...(avoidNode !== undefined && { avoidNode }) }
}
