import { setTimeout as sleep } from 'node:timers/promises'
import { type KubeConfig, type KubernetesObject, makeInformer } from '@kubernetes/client-node'

const RETRY_MILLISECONDS = 2_000

interface WatchOptions<T extends KubernetesObject> {
  /** For the log. */
  what: string
  path: string
  list: () => Promise<{ items: T[] }>
  labelSelector?: string
  changed(object: T): void
  removed(object: T): void
  /** Everything that is there has been delivered. */
  synced?(): void
  log(message: string): void
}

/**
 * Lists objects and watches them until the signal comes. An API server that does not answer is asked again and again: what was
 * missed meanwhile is in the next list.
 */
export async function watchObjects<T extends KubernetesObject>(
  config: KubeConfig,
  { what, path, list, labelSelector, changed, removed, synced, log }: WatchOptions<T>,
  signal: AbortSignal,
): Promise<void> {
  const informer = makeInformer<T>(config, path, list, labelSelector)
  informer.on('add', changed)
  informer.on('update', changed)
  informer.on('delete', removed)
  let failed = Promise.withResolvers<void>()
  informer.on('error', (error: unknown) => {
    if (!signal.aborted) log(`watch of ${what}: ${error instanceof Error ? error.message : String(error)}`)
    failed.resolve()
  })
  const aborted = untilAborted(signal)
  while (!signal.aborted) {
    failed = Promise.withResolvers()
    let isListed = true
    void failed.promise.then(() => (isListed = false))
    try {
      await informer.start()
      await Promise.resolve()
      if (isListed) synced?.()
    } catch (error) {
      log(`watch of ${what}: ${error instanceof Error ? error.message : String(error)}`)
      failed.resolve()
    }
    await Promise.race([failed.promise, aborted])
    await sleep(RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
  }
  await informer.stop()
}

export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
}
