import { setTimeout as sleep } from 'node:timers/promises'
import { CustomObjectsApi, type KubeConfig, makeInformer } from '@kubernetes/client-node'
import { ConflictError } from '../src/errors.ts'
import { type FineTuneResource, GROUP, PLURAL, VERSION } from './fine-tune-resource.ts'
import { type ReconcileParts, reconcile } from './reconcile.ts'
import { WorkQueue } from './work-queue.ts'

/** Reconciliations wait for servers nearly all of their time. */
const CONCURRENCY = 16
const WATCH_RETRY_MILLISECONDS = 2_000
/** How often the workers' pods are looked at. */
const SWEEP_MILLISECONDS = 10_000
/** A running job is looked at this often, or, where there are many, each in its turn: fifty a second. */
const POLL_MILLISECONDS = 3_000
const MILLISECONDS_PER_JOB = 20

export interface ControllerParts extends Omit<ReconcileParts, 'pollMilliseconds'> {
  config: KubeConfig
  namespaces: readonly string[]
  /** Marks the pods that have work; undefined where there are none to mark. */
  sweepPods: (() => Promise<void>) | undefined
  log(message: string): void
  counters: ControllerCounters
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
  const { counters } = parts
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
      return reconcile(resource, { ...parts, pollMilliseconds })
    },
    failed(key, error) {
      // The watch brings the newer state in a moment.
      if (error instanceof ConflictError) return
      counters.failures++
      parts.log(`${key}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    },
  })
  const add = (resource: FineTuneResource) => {
    const key = keyOf(resource)
    const before = cache.get(key)
    cache.set(key, resource)
    counters.resources = cache.size
    if (before === undefined || isNews(before, resource)) queue.add(key)
  }
  const remove = (resource: FineTuneResource) => {
    cache.delete(keyOf(resource))
    counters.resources = cache.size
    parts.seenOn(resource.metadata.uid, undefined)
  }
  await Promise.all([
    ...parts.namespaces.map((namespace) => watch(parts, namespace, { add, remove }, signal)),
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
}

async function watch(
  { config, counters, log }: ControllerParts,
  namespace: string,
  { add, remove }: Changes,
  signal: AbortSignal,
): Promise<void> {
  const api = config.makeApiClient(CustomObjectsApi)
  const place = { group: GROUP, version: VERSION, namespace, plural: PLURAL }
  const informer = makeInformer<FineTuneResource>(
    config,
    `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${PLURAL}`,
    async () => {
      const list = (await api.listNamespacedCustomObject(place)) as { items: FineTuneResource[] }
      counters.isSynced = true
      return list
    },
  )
  informer.on('add', add)
  informer.on('update', add)
  informer.on('delete', remove)
  informer.on('error', (error: unknown) => {
    if (signal.aborted) return
    log(`watch of ${namespace}: ${error instanceof Error ? error.message : String(error)}`)
    void restart()
  })
  /** The list is read anew: what was missed meanwhile is in it. */
  const restart = async () => {
    await sleep(WATCH_RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
    if (!signal.aborted) await informer.start()
  }
  await informer.start()
  await untilAborted(signal)
  await informer.stop()
}

async function sweep(
  { sweepPods, log }: ControllerParts,
  isComplete: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (sweepPods === undefined) return
  while (!signal.aborted) {
    await sleep(SWEEP_MILLISECONDS, undefined, { signal }).catch(() => {})
    // Before every job was looked at, a busy pod looks idle.
    if (signal.aborted || !isComplete()) continue
    try {
      await sweepPods()
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

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
}
