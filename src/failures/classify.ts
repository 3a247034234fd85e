import { EXIT, exitNameOf, saysOutOfMemory } from '../train/exit-codes.ts'
import { cudaErrorIn } from './cuda-errors.ts'
import type { Condition, Evidence } from './evidence.ts'
import { type FailureKind, kindOfErrorName } from './failure-kind.ts'
import { type XidAction, xidsIn } from './xid.ts'

/** What kind of failure it was, and by which evidence. */
export interface Classified {
  kind: FailureKind
  /** What decided, in words for the job's record; the strongest first. */
  evidence: string[]
  /** The node is bad: the next attempt should be elsewhere. */
  avoidNode?: string
}

type Finding = { kind: FailureKind; evidence: string[]; isNodeBad?: boolean }

/**
 * From evidence to a kind. The rules stand in the order of what they explain: what the trainer itself knows for certain,
 * then the device, then the machine being taken or lost, then memory, then the trainer's silence, and last its own words. Pure.
 */
export function classify(evidence: Evidence): Classified {
  for (const rule of [certain, device, memory, machine, silence, words, signal]) {
    const found = rule(evidence)
    if (found === undefined) continue
    const { isNodeBad, ...classified } = found
    const avoidNode = isNodeBad ? evidence.node?.name : undefined
    return { ...classified, ...(avoidNode !== undefined && { avoidNode }) }
  }
  return { kind: 'internal', evidence: ['nothing is known of its end'] }
}

/** Nothing outside explains these away: a fenced, stopped or refused attempt says so itself. */
function certain({ error, child }: Evidence): Finding | undefined {
  const kind = said({ ...(error && { error }), ...(child && { child }) })
  if (kind?.kind === 'fenced' || kind?.kind === 'stopped' || kind?.kind === 'input') return kind
  return undefined
}

const RANK: Record<XidAction, number> = {
  ignore: 0,
  restartApp: 1,
  resetGpu: 2,
  drainNode: 3,
  restartMachine: 4,
}

/** The worst Xid, else CUDA's words. */
function device(evidence: Evidence): Finding | undefined {
  const { node, events, kernelLog, child, error, container } = evidence
  const texts = [
    ...(kernelLog ?? []),
    ...(node?.conditions ?? []).filter(isTrue).map(textOf),
    ...(node?.taints ?? []).map(({ key, value }) => `${key}=${value ?? ''}`),
    ...(events ?? []).map(({ reason, message }) => `${reason}: ${message}`),
    child?.lastWords ?? '',
  ]
  const [worst] = texts
    .flatMap(xidsIn)
    .filter(({ action }) => action !== 'ignore')
    .sort((a, b) => RANK[b.action] - RANK[a.action])
  if (worst) {
    const isNodeBad = worst.action !== 'restartApp'
    return {
      kind: isNodeBad ? 'hardware' : 'gpuFault',
      evidence: [`NVIDIA Xid ${worst.code}: ${worst.action}`],
      isNodeBad,
    }
  }
  for (const text of [child?.lastWords, error?.message, container?.message]) {
    const cuda = text === undefined ? undefined : cudaErrorIn(text)
    if (cuda)
      return {
        kind: cuda.kind,
        evidence: [`CUDA: ${cuda.words}`],
        isNodeBad: cuda.kind === 'hardware',
      }
  }
  return undefined
}

function memory(evidence: Evidence): Finding | undefined {
  const { child, error, oomKills = 0, container, pod, events } = evidence
  const found: string[] = []
  if (container?.reason === 'OOMKilled') found.push('container: OOMKilled')
  // The counter is the whole container's: it means this child only if that was killed so.
  if (oomKills > 0 && child?.signal === 'SIGKILL')
    found.push(`SIGKILL, and the cgroup counts ${oomKills} more killed for memory`)
  const event = events?.find(({ reason }) => reason === 'OOMKilling')
  if (event) found.push(`event OOMKilling: ${event.message}`)
  if (pod?.reason === 'Evicted' && /\bmemory\b/i.test(pod.message ?? ''))
    found.push(`pod evicted: ${pod.message}`)
  if (child?.exitCode === EXIT.outOfMemory) found.push(`exit code ${child.exitCode}`)
  if (error?.name === 'OutOfMemoryError') found.push(error.message)
  if (child?.signal === 'SIGABRT' && saysOutOfMemory(child.lastWords))
    found.push('SIGABRT with words of a failed allocation')
  return found.length > 0 ? { kind: 'outOfMemory', evidence: found } : undefined
}

const PREEMPTED_POD = ['Evicted', 'Preempting', 'Preempted', 'NodeShutdown', 'Terminated']
const PREEMPTING_EVENTS = ['Preempted', 'Preempting', 'TaintManagerEviction', 'Evicted', 'SpotInterruption']
const PREEMPTING_TAINTS =
  /^(?:aws-node-termination-handler\/|karpenter\.sh\/disrupt|cloud\.google\.com\/impending-node-termination|ToBeDeletedByClusterAutoscaler|DeletionCandidateOfClusterAutoscaler)/
/** Kubernetes gives these pods up because their node is lost; nobody took the machine. */
const GIVEN_UP = ['DeletionByTaintManager', 'DeletionByPodGC', 'TaintManagerEviction']
const LOST_TAINTS = /^node\.kubernetes\.io\/(?:unreachable|not-ready|out-of-service)/
const BROKEN_NODE = ['KernelDeadlock', 'ReadonlyFilesystem']

/** Taken away, or lost. A machine that is about to be taken away also gets unready: the notice explains more. */
function machine(evidence: Evidence): Finding | undefined {
  const { pod, node, events } = evidence
  const lost = signsOfLoss(evidence)
  const explains = (reason = ''): boolean => lost.length > 0 && GIVEN_UP.includes(reason)
  const taken: string[] = []
  const disruption = pod?.conditions?.find(
    (condition) => condition.type === 'DisruptionTarget' && isTrue(condition),
  )
  if (disruption && !explains(disruption.reason)) taken.push(`pod condition ${textOf(disruption)}`)
  if (pod?.reason !== undefined && PREEMPTED_POD.includes(pod.reason)) taken.push(`pod reason ${pod.reason}`)
  for (const { reason, message } of events ?? [])
    if (PREEMPTING_EVENTS.includes(reason) && !explains(reason)) taken.push(`event ${reason}: ${message}`)
  for (const { key } of node?.taints ?? []) if (PREEMPTING_TAINTS.test(key)) taken.push(`taint ${key}`)
  if (taken.length > 0) return { kind: 'preempted', evidence: taken }
  return lost.length > 0 ? { kind: 'nodeLost', evidence: lost, isNodeBad: true } : undefined
}

function signsOfLoss({ pod, node, events }: Evidence): string[] {
  const lost: string[] = []
  if (node?.gone) lost.push(`node ${node.name} is gone`)
  if (pod?.reason === 'NodeLost') lost.push('pod reason NodeLost')
  for (const condition of node?.conditions ?? []) {
    const isBroken = BROKEN_NODE.includes(condition.type) && isTrue(condition)
    if (isBroken || (condition.type === 'Ready' && !isTrue(condition)))
      lost.push(`node condition ${textOf(condition)}`)
  }
  for (const { key } of node?.taints ?? []) if (LOST_TAINTS.test(key)) lost.push(`taint ${key}`)
  for (const { reason, message } of events ?? [])
    if (reason === 'NodeNotReady') lost.push(`event ${reason}: ${message}`)
  return lost
}

function silence({ child, workerSilent }: Evidence): Finding | undefined {
  if (child?.stalled) {
    const { phase, silent, limit } = child.stalled
    return {
      kind: 'stalled',
      evidence: [`no progress for ${silent.toFixed(0)} s in phase ${phase}, limit ${limit.toFixed(0)} s`],
    }
  }
  return workerSilent ? { kind: 'lost', evidence: ['no heartbeat of the worker'] } : undefined
}

/** A signal that nothing above explains. */
function signal({ child }: Evidence): Finding | undefined {
  return child?.signal ? { kind: 'killed', evidence: [`killed by ${child.signal}`] } : undefined
}

function words(evidence: Evidence): Finding | undefined {
  const { child, container } = evidence
  if (child?.signal) return undefined
  if (container?.reason === 'ErrImagePull' || container?.reason === 'ImagePullBackOff')
    return { kind: 'input', evidence: [`container: ${container.reason}`] }
  return said(evidence)
}

/** What the exit code says, else the class of the error, else the container's exit code. */
function said({ error, child, container }: Evidence): Finding | undefined {
  const exitCode = child?.exitCode ?? (error === undefined ? container?.exitCode : undefined) ?? undefined
  if (exitCode !== undefined) {
    const name = exitNameOf(exitCode)
    if (name === 'finished') return undefined
    return { kind: name === 'notFinite' ? 'diverged' : name, evidence: [`exit code ${exitCode}`] }
  }
  if (error === undefined || child?.signal || child?.stalled) return undefined
  return { kind: kindOfErrorName(error.name), evidence: [`${error.name}: ${error.message}`] }
}

const isTrue = ({ status }: Condition): boolean => status === 'True'

const textOf = ({ type, status, reason, message }: Condition): string =>
  [`${type}=${status}`, reason, message].filter(Boolean).join(' ')
