import type { V1Deployment, V1Node, V1Pod } from '@kubernetes/client-node'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { endOf } from './resources.ts'

export interface FleetRow {
  fleet: string
  queue: string
  /** What a pod of it asks of a node. */
  machine: string
  ready: number
  wanted: number
}

export interface NodeRow {
  node: string
  ready: boolean
  /** By resource: offered, and taken by Temper's pods. */
  gpus: { resource: string; offered: number; taken: number }[]
  /** Temper's pods on it. */
  pods: string[]
}

export interface JobRow {
  job: string
  stage: string
  percent: number | undefined
  fleet: string | undefined
  pod: string | undefined
  node: string | undefined
  /** Why it does not go on; undefined where it does. */
  waits: string | undefined
}

export interface FleetReport {
  fleets: FleetRow[]
  /** Undefined where the user may not list nodes. */
  nodes: NodeRow[] | undefined
  jobs: JobRow[]
}

export const FLEET_LABEL = 'temper.dev/fleet'
/** The CPU stages' workers, by the chart. */
const STAGES_FLEET = 'stages'

/** What runs where and what waits, from what the cluster says. */
export function fleetReport(seen: {
  deployments: readonly V1Deployment[]
  pods: readonly V1Pod[]
  nodes: readonly V1Node[] | undefined
  resources: readonly FineTuneResource[]
}): FleetReport {
  const { deployments, pods, nodes, resources } = seen
  const fleets = deployments.map(fleetRow)
  const first = fleets.find(({ fleet }) => fleet !== STAGES_FLEET)?.fleet
  return {
    fleets,
    nodes: nodes
      ?.map((node) => nodeRow(node, pods))
      .filter(({ gpus, pods }) => gpus.length > 0 || pods.length > 0),
    jobs: resources
      .filter((resource) => endOf(resource) === undefined)
      .map((resource) => jobRow(resource, first)),
  }
}

function fleetRow({ metadata, spec, status }: V1Deployment): FleetRow {
  const pod = spec?.template.spec
  const [container] = pod?.containers ?? []
  const limits = Object.entries(gpusOf(container?.resources?.limits)).map(
    ([name, count]) => `${name}=${count}`,
  )
  const labels = Object.entries(pod?.nodeSelector ?? {}).map(([name, value]) => `${name}=${value}`)
  return {
    fleet: metadata?.labels?.[FLEET_LABEL] ?? '',
    queue: container?.env?.find(({ name }) => name === 'TEMPER_QUEUES')?.value ?? '',
    machine: [...limits, ...labels].join(' ') || 'any',
    ready: status?.readyReplicas ?? 0,
    wanted: spec?.replicas ?? 0,
  }
}

function nodeRow({ metadata, status }: V1Node, pods: readonly V1Pod[]): NodeRow {
  const here = pods.filter(
    ({ spec, status }) => spec?.nodeName === metadata?.name && status?.phase === 'Running',
  )
  return {
    node: metadata?.name ?? '',
    ready: status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false,
    gpus: Object.entries(gpusOf(status?.allocatable)).map(([resource, offered]) => ({
      resource,
      offered,
      taken: here.reduce(
        (sum, { spec }) => sum + (gpusOf(spec?.containers[0]?.resources?.limits)[resource] ?? 0),
        0,
      ),
    })),
    pods: here.map(({ metadata }) => metadata?.name ?? ''),
  }
}

function jobRow({ metadata, spec, status }: FineTuneResource, first: string | undefined): JobRow {
  const waiting = status?.conditions.find(
    ({ type, status }) => status === 'True' && ['Waiting', 'OverBudget', 'Suspended'].includes(type),
  )
  const unreachable = status?.conditions.find(
    ({ type, status }) => type === 'TemporalReachable' && status === 'False',
  )
  return {
    job: metadata.name,
    stage: status?.stage ?? 'new',
    percent: status?.progress?.percent,
    fleet: spec.fleet ?? first,
    pod: status?.worker?.pod,
    node: status?.worker?.node,
    waits: (unreachable ?? waiting)?.message,
  }
}

/** Extended resources of a device plugin carry its vendor's domain. */
function gpusOf(quantities: Record<string, string> | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(quantities ?? {})
      .filter(([name]) => /^[a-z0-9.-]+\/.*gpu/i.test(name))
      .map(([name, count]) => [name, Number(count)]),
  )
}
