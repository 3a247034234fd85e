import { setTimeout as sleep } from 'node:timers/promises'
import { CustomObjectsApi, type KubeConfig } from '@kubernetes/client-node'
import { ConflictError } from '../src/errors.ts'
import type { BusyPods } from './busy-pods.ts'
import type { ClusterView } from './cluster-view.ts'
import { type FineTuneResource, GROUP, PLURAL, VERSION } from './fine-tune-resource.ts'
import { PodReporter } from './pod-reports.ts'
import { type ReconcileParts, reconcile } from './reconcile.ts'
import { untilAborted, watchObjects } from './watch-objects.ts'
import { WorkQueue } from './work-queue.ts'

/** Reconciliations wait for servers nearly all of their time. */
const CONCURRENCY = 16
/** How often the workers' pods are looked at. */
const SWEEP_MILLISECONDS = 10_000
/** A running job is looked at this often, or, where there are many, each in its turn: fifty a second. */
const POLL_MILLISECONDS = 3_000
const MILLISECONDS_PER_JOB = 20

export interface ControllerParts extends Omit<
  ReconcileParts,
  'pollMilliseconds' | 'seenOn' | 'reporter' | 'cordon' | 'nodes' | 'pods'
> {
  config: KubeConfig
  namespaces: readonly string[]
  /** The workers' pods; undefined where there are none to look at. */
  workers: WorkerPods | undefined
  log(message: string): void
  counters: ControllerCounters
}

export interface WorkerPods {
  cluster: ClusterView
  busy: BusyPods
}

export interface ControllerCounters {
  reconciliations: number
  failures: number
  queueDepth: number
  resources: number
  /** The watches have delivered everything that is there. */
  isSynced: boolean
}

/** Watches FineTunes and reconciles each whenever it or its job may have changed, until the signal comes. */
export async function runController(parts: ControllerParts, signal: AbortSignal): Promise<void> {
  const { counters, workers } = parts
  const reporter = workers && new PodReporter(workers.cluster)
  const seenOn: ReconcileParts['seenOn'] = (uid, worker) => workers?.busy.seenOn(uid, worker)
  const cache = new Map<string, FineTuneResource>()
  const looked = new Set<string>()
  const queue = new WorkQueue({
    concurrency: CONCURRENCY,
    async work(key) {
      const resource = cache.get(key)
      looked.add(key)
      if (resource === undefined) return undefined
      counters.reconciliations++
      const pollMilliseconds = () => Math.max(POLL_MILLISECONDS, cache.size * MILLISECONDS_PER_JOB)
      return reconcile(resource, {
        ...parts,
        seenOn,
        reporter,
        cordon: async (node) => workers?.cluster.cordon(node),
        nodes: () => workers?.cluster.nodes(),
        pods: () => workers?.cluster.pods() ?? [],
        pollMilliseconds,
      })
    },
    failed(key, error) {
      // The watch brings the newer state in a moment.
      if (error instanceof ConflictError) return
      counters.failures++
      parts.log(`${key}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    },
  })
  const add = (resource: FineTuneResource) => {
    // Half of an object's size, which nobody here reads.
    delete resource.metadata.managedFields
    const key = keyOf(resource)
    const before = cache.get(key)
    cache.set(key, resource)
    counters.resources = cache.size
    if (before === undefined || isNews(before, resource)) queue.add(key)
  }
  const remove = (resource: FineTuneResource) => {
    cache.delete(keyOf(resource))
    counters.resources = cache.size
    seenOn(resource.metadata.uid, undefined)
    reporter?.forget(resource.metadata.uid)
  }
  const listed = new Set<string>()
  const synced = (namespace: string) => {
    listed.add(namespace)
    counters.isSynced = listed.size === parts.namespaces.length
  }
  /** Something happened to these pods: their jobs are looked at at once. */
  const podsChanged = (pods: readonly string[]) => {
    const uids = new Set(workers?.busy.jobsOn(pods))
    if (uids.size === 0) return
    for (const [key, { metadata }] of cache) if (uids.has(metadata.uid)) queue.add(key)
  }
  await Promise.all([
    workers?.cluster.run(signal, podsChanged),
    ...parts.namespaces.map((namespace) =>
      watch(parts, namespace, { add, remove, synced: () => synced(namespace) }, signal),
    ),
    sweep(parts, () => counters.isSynced && [...cache.keys()].every((key) => looked.has(key)), signal),
    gauge(() => (counters.queueDepth = queue.depth), signal),
  ])
  counters.isSynced = false
  await queue.stop()
}

/** A status that this controller wrote is no news; what people and the garbage collector change is. */
function isNews({ metadata: before }: FineTuneResource, { metadata: after }: FineTuneResource): boolean {
  return (
    before.uid !== after.uid ||
    before.generation !== after.generation ||
    before.deletionTimestamp?.valueOf() !== after.deletionTimestamp?.valueOf() ||
    before.finalizers?.length !== after.finalizers?.length
  )
}

const keyOf = ({ metadata: { namespace, name } }: FineTuneResource) => `${namespace}/${name}`

interface Changes {
  add(resource: FineTuneResource): void
  remove(resource: FineTuneResource): void
  /** All that is in the namespace was added. */
  synced(): void
}

async function watch(
  { config, log }: ControllerParts,
  namespace: string,
  { add, remove, synced }: Changes,
  signal: AbortSignal,
): Promise<void> {
  const api = config.makeApiClient(CustomObjectsApi)
  const place = { group: GROUP, version: VERSION, namespace, plural: PLURAL }
  await watchObjects<FineTuneResource>(
    config,
    {
      what: `FineTunes in ${namespace}`,
      path: `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${PLURAL}`,
      list: async () => (await api.listNamespacedCustomObject(place)) as { items: FineTuneResource[] },
      changed: add,
      removed: remove,
      synced,
      log,
    },
    signal,
  )
}

async function sweep(
  { workers, log }: ControllerParts,
  isComplete: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (workers === undefined) return
  while (!signal.aborted) {
    await sleep(SWEEP_MILLISECONDS, undefined, { signal }).catch(() => {})
    // Before every job was looked at, a busy pod looks idle.
    if (signal.aborted || !isComplete()) continue
    try {
      await workers.busy.sweep()
    } catch (error) {
      log(`marking busy pods: ${(error as Error).message}`)
    }
  }
}

async function gauge(read: () => void, signal: AbortSignal): Promise<void> {
  const timer = setInterval(read, 1_000)
  await untilAborted(signal)
  clearInterval(timer)
}
