import { setTimeout as sleep } from 'node:timers/promises'
import { CustomObjectsApi, type KubeConfig, makeInformer } from '@kubernetes/client-node'
import { ConflictError } from '../src/errors.ts'
import { GROUP, VERSION } from './fine-tune-resource.ts'
import { type FineTuneScheduleResource, SCHEDULE_PLURAL } from './fine-tune-schedule-resource.ts'
import { reconcileSchedule, type ScheduleParts } from './reconcile-schedule.ts'
import { WorkQueue } from './work-queue.ts'

const CONCURRENCY = 4
const WATCH_RETRY_MILLISECONDS = 2_000

export interface ScheduleControllerParts extends ScheduleParts {
  config: KubeConfig
  namespaces: readonly string[]
  log(message: string): void
}

/** Watches FineTuneSchedules and reconciles each whenever it or its nights may have changed, until the signal comes. */
export async function runScheduleController(
  parts: ScheduleControllerParts,
  signal: AbortSignal,
): Promise<void> {
  const cache = new Map<string, FineTuneScheduleResource>()
  const queue = new WorkQueue({
    concurrency: CONCURRENCY,
    async work(key) {
      const resource = cache.get(key)
      return resource && reconcileSchedule(resource, parts)
    },
    failed(key, error) {
      // The watch brings the newer state in a moment.
      if (error instanceof ConflictError) return
      parts.log(`${key}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    },
  })
  const keyOf = ({ metadata: { namespace, name } }: FineTuneScheduleResource) => `${namespace}/${name}`
  await Promise.all(
    parts.namespaces.map((namespace) =>
      watch(parts, namespace, signal, {
        changed(resource) {
          const before = cache.get(keyOf(resource))
          cache.set(keyOf(resource), resource)
          if (before === undefined || isNews(before, resource)) queue.add(keyOf(resource))
        },
        gone: (resource) => void cache.delete(keyOf(resource)),
      }),
    ),
  )
  await queue.stop()
}

/** A status that this controller wrote is no news. */
function isNews(
  { metadata: a }: FineTuneScheduleResource,
  { metadata: b }: FineTuneScheduleResource,
): boolean {
  return (
    a.uid !== b.uid ||
    a.generation !== b.generation ||
    a.deletionTimestamp?.valueOf() !== b.deletionTimestamp?.valueOf()
  )
}

interface Changes {
  changed(resource: FineTuneScheduleResource): void
  gone(resource: FineTuneScheduleResource): void
}

async function watch(
  { config, log }: ScheduleControllerParts,
  namespace: string,
  signal: AbortSignal,
  { changed, gone }: Changes,
): Promise<void> {
  const api = config.makeApiClient(CustomObjectsApi)
  const place = { group: GROUP, version: VERSION, namespace, plural: SCHEDULE_PLURAL }
  const path = `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${SCHEDULE_PLURAL}`
  const informer = makeInformer<FineTuneScheduleResource>(
    config,
    path,
    async () => (await api.listNamespacedCustomObject(place)) as { items: FineTuneScheduleResource[] },
  )
  /** The list is read anew: what was missed meanwhile is in it. */
  const start = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await informer.start()
        return
      } catch (error) {
        log(`watch of ${SCHEDULE_PLURAL} in ${namespace}: ${(error as Error).message}`)
        await sleep(WATCH_RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
      }
    }
  }
  const restart = async (): Promise<void> => {
    await sleep(WATCH_RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
    await start()
  }
  informer.on('add', changed)
  informer.on('update', changed)
  informer.on('delete', gone)
  informer.on('error', (error: unknown) => {
    if (signal.aborted) return
    log(`watch of ${SCHEDULE_PLURAL} in ${namespace}: ${String(error)}`)
    void restart()
  })
  await start()
  if (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
  }
  await informer.stop()
}
