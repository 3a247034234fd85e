import { setTimeout as sleep } from 'node:timers/promises'
import { ApiException } from '@kubernetes/client-node'
import { type Condition, type ConditionType, type FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { ApiFineTunes } from '../../k8s/api-fine-tunes.ts'
import { BusyPods } from '../../k8s/busy-pods.ts'
import { ClusterView } from '../../k8s/cluster-view.ts'
import {
  type ControllerCounters,
  type ControllerParts,
  type WorkerPods,
  runController,
} from '../../k8s/controller.ts'
import type { Jobs } from '../../k8s/jobs.ts'
import type { TestCluster } from './test-cluster.ts'

export const FLEET = {
  name: 'a100',
  taskQueue: 'finetune-control',
  gpu: { resource: 'nvidia.com/gpu', count: 2 },
  nodeSelector: { pool: 'a100' },
}

/** The parts of a controller of the namespace `default`; `changes` replaces some. */
export function controllerParts(
  cluster: TestCluster,
  jobs: Jobs,
  changes: Partial<ControllerParts> = {},
): ControllerParts & { lines: string[] } {
  const lines: string[] = []
  const log = (line: string) => void lines.push(line)
  const now = changes.now ?? (() => new Date())
  const counters: ControllerCounters = {
    reconciliations: 0,
    failures: 0,
    queueDepth: 0,
    resources: 0,
    isSynced: false,
  }
  return {
    config: cluster.config,
    namespaces: ['default'],
    fleets: [FLEET],
    dataRoot: '/data',
    fineTunes: new ApiFineTunes(cluster.config, { log, now }),
    jobs,
    workers: workerPods(cluster, log),
    now,
    log,
    counters,
    lines,
    ...changes,
  }
}

/** Pods with the label role=worker. */
export function workerPods(cluster: TestCluster, log: (line: string) => void): WorkerPods {
  const view = new ClusterView({
    config: cluster.config,
    namespace: 'default',
    workerSelector: 'role=worker',
    cordons: true,
    log,
  })
  return { cluster: view, busy: new BusyPods(cluster.config, 'default', () => view.pods()) }
}

/** Runs a controller; the answer stops it. */
export function startController(parts: ControllerParts): () => Promise<void> {
  const stopping = new AbortController()
  const running = runController(parts, stopping.signal)
  return async () => {
    stopping.abort()
    await running
  }
}

export async function readFineTune(
  cluster: TestCluster,
  name: string,
  namespace = 'default',
): Promise<FineTuneResource> {
  return cluster.objects.read<FineTuneResource>({
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name, namespace },
  })
}

/** A busy machine is given time; what never comes is said. */
const LIMIT_MILLISECONDS = 60_000

/** Waits for a condition to be true; what the resource says instead is in the error. */
export async function untilCondition(
  cluster: TestCluster,
  name: string,
  type: ConditionType,
  matches: (condition: Condition) => boolean = ({ status }) => status === 'True',
): Promise<FineTuneResource> {
  return untilResource(cluster, name, ({ status }) =>
    Boolean(status?.conditions.some((condition) => condition.type === type && matches(condition))),
  )
}

export async function untilResource(
  cluster: TestCluster,
  name: string,
  matches: (resource: FineTuneResource) => boolean,
): Promise<FineTuneResource> {
  const end = performance.now() + LIMIT_MILLISECONDS
  for (;;) {
    const resource = await readFineTune(cluster, name)
    if (matches(resource)) return resource
    if (performance.now() > end) throw new Error(`not reached: ${JSON.stringify(resource.status, null, 2)}`)
    await sleep(50)
  }
}

export async function untilGone(cluster: TestCluster, name: string): Promise<void> {
  try {
    await untilResource(cluster, name, () => false)
  } catch (error) {
    if (error instanceof ApiException && error.code === 404) return
    throw error
  }
}
