import { hostname } from 'node:os'
import { type Fleet, parseFleets } from './fleets.ts'

type Environment = Record<string, string | undefined>

/** What the chart tells the controller by its environment. */
export interface ControllerSettings {
  /** TEMPER_WATCH_NAMESPACES, comma-separated; its own by default. */
  namespaces: string[]
  /** POD_NAMESPACE: where the workers and the lease are. */
  namespace: string
  /** POD_NAME. */
  identity: string
  /** TEMPER_LEASE: two installations in one namespace have two. */
  leaseName: string
  /** TEMPER_WORKER_SELECTOR: the labels of the workers' pods. */
  workerSelector: string | undefined
  /** TEMPER_CORDON=true: nodes with bad hardware are cordoned. */
  cordons: boolean
  /** TEMPER_FLEETS, JSON. */
  fleets: Fleet[]
  /** TEMPER_DATA_ROOT */
  dataRoot: string
  /** TEMPER_HEARTBEAT_SECONDS */
  heartbeatSeconds: number
  /** TEMPER_HEALTH_PORT */
  healthPort: number
}

const HEARTBEAT_SECONDS = 30
const HEALTH_PORT = 8081

export function controllerSettings(environment: Environment): ControllerSettings {
  const namespace = environment.POD_NAMESPACE || 'default'
  return {
    namespaces: environment.TEMPER_WATCH_NAMESPACES?.split(',') ?? [namespace],
    namespace,
    identity: environment.POD_NAME || hostname(),
    leaseName: environment.TEMPER_LEASE || 'temper-controller',
    workerSelector: environment.TEMPER_WORKER_SELECTOR || undefined,
    cordons: environment.TEMPER_CORDON === 'true',
    fleets: parseFleets(environment.TEMPER_FLEETS ?? ''),
    dataRoot: environment.TEMPER_DATA_ROOT || '/data',
    heartbeatSeconds: Number(environment.TEMPER_HEARTBEAT_SECONDS) || HEARTBEAT_SECONDS,
    healthPort: Number(environment.TEMPER_HEALTH_PORT) || HEALTH_PORT,
  }
}
