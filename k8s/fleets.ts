import type { V1Node, V1Pod } from '@kubernetes/client-node'
import { InputError } from '../src/errors.ts'

/** Machines of one kind, as the chart names them. The chart hands them to the controller as JSON (TEMPER_FLEETS). */
export interface Fleet {
  name: string
  taskQueue: string
  /** What a pod of it asks of a node; none for a fleet of CPUs. */
  gpu?: { resource: string; count: number }
  nodeSelector?: Record<string, string>
  /** What a machine of it costs. */
  pricePerHour?: number
}

export function parseFleets(text: string): Fleet[] {
  let fleets: unknown
  try {
    fleets = JSON.parse(text)
  } catch (error) {
    throw new InputError('TEMPER_FLEETS must be a JSON list of fleets.', { cause: error })
  }
  const isFleet = (fleet: Partial<Fleet> | null) =>
    typeof fleet?.name === 'string' && typeof fleet.taskQueue === 'string'
  if (!Array.isArray(fleets) || fleets.length === 0 || !fleets.every(isFleet)) {
    throw new InputError('TEMPER_FLEETS must be a list of at least one fleet, each with name and taskQueue.')
  }
  return fleets as Fleet[]
}

/** The fleet that a resource asks for, or the first one. */
export function fleetOf(fleets: readonly Fleet[], name: string | undefined): Fleet {
  const fleet = name === undefined ? fleets[0] : fleets.find((one) => one.name === name)
  if (fleet === undefined) {
    const names = fleets.map((one) => one.name).join(', ')
    throw new InputError(
      `spec.fleet: there is no fleet ${name}; this installation has ${names} (values of the chart: fleets)`,
    )
  }
  return fleet
}

/** The chart's label of a fleet's pods. */
const FLEET_LABEL = 'temper.dev/fleet'

/** Why no worker of this fleet has taken up the work, as far as nodes and pods tell. */
export function whyWaiting(
  fleet: Fleet,
  nodes: readonly V1Node[] | undefined,
  pods: readonly V1Pod[],
): string {
  const { gpu, nodeSelector = {} } = fleet
  const labels = Object.entries(nodeSelector).map(([name, value]) => `${name}=${value}`)
  const wanted = gpu ? `${gpu.resource}=${gpu.count}` : 'a place'
  const offers = nodes?.some((node) => {
    const has = Object.entries(nodeSelector).every(([name, value]) => node.metadata?.labels?.[name] === value)
    return (
      has && isReady(node) && (!gpu || Number(node.status?.allocatable?.[gpu.resource] ?? 0) >= gpu.count)
    )
  })
  if (nodes !== undefined && !offers) {
    return `waiting: no node offers ${wanted}${labels.length > 0 ? ` with ${labels.join(', ')}` : ''}`
  }
  for (const { metadata, status } of pods.filter(
    (pod) => pod.metadata?.labels?.[FLEET_LABEL] === fleet.name,
  )) {
    const unscheduled = status?.conditions?.find(
      ({ type, status }) => type === 'PodScheduled' && status === 'False',
    )
    if (unscheduled) return `waiting: pod ${metadata?.name} finds no node: ${unscheduled.message ?? ''}`
    const held = status?.containerStatuses?.[0]?.state?.waiting
    if (held?.message)
      return `waiting: pod ${metadata?.name} does not start (${held.reason ?? ''}): ${held.message}`
  }
  return `waiting: every worker of fleet ${fleet.name} (queue ${fleet.taskQueue}) is busy, starting, or missing`
}

function isReady(node: V1Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}
