import type { CoreV1Event } from '@kubernetes/client-node'
import { classify } from '../src/failures/classify.ts'
import type { JobView } from '../jobs/job-view.ts'
import type { Lost } from '../src/failures/failure-details.ts'
import type { PodReport } from '../workflows/pod-reports.ts'
import type { ClusterView } from './cluster-view.ts'
import { endText, evidenceOf, lastEnd, type PodSeen } from './pod-evidence.ts'

/** An attempt and the pod that it runs or ran on. */
interface Place {
  stage: string
  attempt: number
  pod: string
  /** When the attempt was taken up; undefined where it is over. */
  since?: Date
  lost?: Lost
}

/** Kubernetes writes times in whole seconds. */
const SECOND = 1_000

/** What the cluster has to say about the pods of jobs, each thing once. */
export class PodReporter {
  readonly #cluster: Pick<ClusterView, 'look' | 'events'>
  /** By the job's UID. Lost with the process: then the job is told again, which changes nothing. */
  readonly #jobs = new Map<string, JobMemory>()

  constructor(cluster: Pick<ClusterView, 'look' | 'events'>) {
    this.#cluster = cluster
  }

  /** Sends what this job's workflow is to be told now. What could not be sent is tried again at the next look. */
  async tell(uid: string, view: JobView, send: (report: PodReport) => Promise<void>): Promise<void> {
    const memory = this.#jobs.get(uid) ?? { told: new Set(), ends: new Map(), seen: new Map() }
    this.#jobs.set(uid, memory)
    for (const place of placesOf(view)) {
      const seen = this.#cluster.look(place.pod)
      if (seen === undefined) continue
      const key = `${nameOf(place)} ${place.pod}`
      const version = versionOf(seen)
      // Only what has changed is looked into: a job is looked at every few seconds.
      if (memory.seen.get(key) === version) continue
      const report = reportOf(place, seen, await this.#cluster.events(seen.pod), memory.ends)
      const text = JSON.stringify(report)
      if (report !== undefined && !memory.told.has(text)) {
        await send(report)
        memory.told.add(text)
      }
      memory.seen.set(key, version)
    }
  }

  forget(uid: string): void {
    this.#jobs.delete(uid)
  }
}

interface JobMemory {
  told: Set<string>
  /** Ends of containers, and which attempt each has ended. The clocks of nodes differ: no end is that of two attempts. */
  ends: Map<string, string>
  /** Which versions of pod and node an attempt was last looked at with. */
  seen: Map<string, string>
}

const versionOf = ({ pod, node, isGone }: PodSeen) =>
  `${pod.metadata?.resourceVersion} ${node?.metadata?.resourceVersion} ${isGone}`

const nameOf = ({ stage, attempt, since }: Place) =>
  `${stage} ${attempt}${since === undefined ? ' lost' : ''}`

/** The attempt that runs, and those whose workers fell silent without a word. */
function placesOf({ stages, workerIdentity, workerSince, progress }: JobView): Place[] {
  const places: Place[] = []
  for (const { name: stage, state, attempts: attempt, recoveries } of stages) {
    const pod = workerIdentity === undefined ? undefined : hostOf(workerIdentity)
    if ((state === 'running' || state === 'retrying') && pod !== undefined && workerSince)
      places.push({
        stage,
        attempt,
        pod,
        since: workerSince,
        ...(progress?.unsaved && { lost: progress.unsaved }),
      })
    const last = recoveries?.at(-1)
    if (last?.kind === 'lost' && last.worker)
      places.push({ stage, attempt: last.attempt, pod: last.worker.host })
  }
  return places
}

function reportOf(
  { stage, attempt, pod, since, lost }: Place,
  seen: PodSeen,
  events: readonly CoreV1Event[],
  ends: Map<string, string>,
): PodReport | undefined {
  const end = lastEnd(seen)
  const finished = end?.finishedAt?.getTime()
  const name = `${stage} ${attempt}`
  const isOurs =
    end !== undefined &&
    (since === undefined || finished === undefined || finished + SECOND >= since.getTime()) &&
    (ends.get(end.id) ?? name) === name
  if (isOurs) ends.set(end.id, name)
  const { container, ...rest } = evidenceOf(seen, events)
  const { kind, evidence, avoidNode } = classify({ ...rest, ...(isOurs && container && { container }) })
  const isKnown = kind !== 'internal'
  const ended = isOurs && since !== undefined
  if (!isKnown && !ended) return undefined
  const on = seen.pod.spec?.nodeName
  return {
    stage,
    attempt,
    pod,
    ended,
    ...(isKnown && { kind }),
    evidence: [
      ...(isKnown ? evidence : []),
      ...(isOurs ? [endText(end)] : []),
      `pod ${pod}${on === undefined ? '' : ` on node ${on}`}`,
    ],
    ...(avoidNode !== undefined && { avoidNode }),
    ...(ended && seen.isGone && { podGone: true }),
    ...(ended && lost && { lost }),
  }
}

/** A worker's identity is `pid@host`, and a pod's host is its name. */
export function hostOf(workerIdentity: string): string | undefined {
  return workerIdentity.split('@')[1]
}
