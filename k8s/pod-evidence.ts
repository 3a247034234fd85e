import type { CoreV1Event, V1Node, V1Pod } from '@kubernetes/client-node'
import type { Evidence } from '../src/failures/evidence.ts'

/** A worker's pod as the cluster shows it now. */
export interface PodSeen {
  pod: V1Pod
  /** The API server has it no more. */
  isGone: boolean
  /** Its node as it is now; undefined where there is none of that name any more. */
  node: V1Node | undefined
}

/** A container's end, the first time that it is seen. */
export interface ContainerEnd {
  /** Tells one end from the next of the same pod. */
  id: string
  reason: string | undefined
  exitCode: number | undefined
  finishedAt: Date | undefined
}

/** How the worker's container ended last, whether or not it was begun again. */
export function lastEnd({ pod, isGone }: PodSeen): ContainerEnd | undefined {
  const uid = pod.metadata?.uid ?? ''
  const [status] = pod.status?.containerStatuses ?? []
  const ended = status?.state?.terminated ?? status?.lastState?.terminated
  if (ended) {
    const { reason, exitCode, finishedAt } = ended
    const end = finishedAt === undefined ? undefined : new Date(finishedAt)
    return {
      id: `${uid}/${status?.restartCount ?? 0}/${end?.toISOString()}`,
      reason,
      exitCode,
      finishedAt: end,
    }
  }
  const isOver = isGone || pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded'
  return isOver
    ? { id: `${uid}/gone`, reason: undefined, exitCode: undefined, finishedAt: undefined }
    : undefined
}

/** The pod and its node as evidence for the classifier (src/failures/classify.ts). */
export function evidenceOf(
  seen: PodSeen,
  events: readonly CoreV1Event[],
): Pick<Evidence, 'container' | 'pod' | 'node' | 'events'> {
  const { pod, node } = seen
  const end = lastEnd(seen)
  const nodeName = pod.spec?.nodeName
  const { reason, message, conditions } = pod.status ?? {}
  return {
    // Exit codes of a worker are not those of its trainer: they are told, not classified.
    ...(end?.reason !== undefined && { container: { reason: end.reason } }),
    pod: {
      ...(reason !== undefined && { reason }),
      ...(message !== undefined && { message }),
      conditions: (conditions ?? []).map(conditionOf),
    },
    ...(nodeName !== undefined && {
      node: node
        ? {
            name: nodeName,
            conditions: (node.status?.conditions ?? []).map(conditionOf),
            taints: (node.spec?.taints ?? []).map(({ key, value }) => ({
              key,
              ...(value !== undefined && { value }),
            })),
          }
        : { name: nodeName, gone: true },
    }),
    events: events.map(({ reason = '', message = '' }) => ({ reason, message })),
  }
}

/** For people: how the container ended. */
export function endText({ reason, exitCode }: ContainerEnd): string {
  if (reason === undefined && exitCode === undefined) return 'the pod is gone'
  return `container: ${reason ?? 'ended'}${exitCode === undefined ? '' : `, exit code ${exitCode}`}`
}

interface AnyCondition {
  type: string
  status: string
  reason?: string
  message?: string
}

function conditionOf({ type, status, reason, message }: AnyCondition): AnyCondition {
  return { type, status, ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) }
}
