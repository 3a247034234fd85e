import { pathToFileURL } from 'node:url'
import { temporalNamespace } from '../jobs/temporal-options.ts'
import { downloadCache, openStateFolder, type StateFolder } from '../src/local/state-folder.ts'
import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../workflows/queues.ts'

type Environment = Record<string, string | undefined>

/** What a worker is told by its environment: the same on a laptop and in a pod. */
export interface WorkerSettings {
  state: StateFolder
  /** TEMPORAL_NAMESPACE. */
  namespace: string
  /** TEMPER_STORE, or the state folder's own. */
  storeUri: string
  downloadCache: string
  /** TEMPER_QUEUES, comma-separated. */
  queues: string[]
  /** TEMPER_HEALTH_PORT, port or host:port of /healthz, /readyz and /metrics; without it there are none. */
  healthAddress: string | undefined
}

export function workerSettings(environment: Environment, workingFolder: string): WorkerSettings {
  const state = openStateFolder(environment, workingFolder)
  return {
    state,
    namespace: temporalNamespace(environment),
    storeUri: storeUri(environment, state),
    downloadCache: downloadCache(environment),
    queues: environment.TEMPER_QUEUES?.split(',') ?? [CONTROL_QUEUE, CPU_TRAINING_QUEUE],
    healthAddress: environment.TEMPER_HEALTH_PORT || undefined,
  }
}

export function storeUri(environment: Environment, state: StateFolder): string {
  return environment.TEMPER_STORE || pathToFileURL(state.store).href
}
