import { createHash } from 'node:crypto'
import {
  ApiException,
  CoreV1Api,
  CustomObjectsApi,
  type KubeConfig,
  PatchStrategy,
  setHeaderOptions,
  type V1ObjectMeta,
} from '@kubernetes/client-node'
import { ConflictError } from '../src/errors.ts'
import { GROUP, VERSION } from './fine-tune-resource.ts'
import type { EventText } from './fine-tunes.ts'

const MANAGER = 'temper-controller'
/** What the API server takes as an event's message. */
const MAX_MESSAGE = 1024
const CONFLICT = 409

/** A custom resource of our group, as the API server holds it. */
interface Resource {
  apiVersion: string
  kind: string
  metadata: V1ObjectMeta & { name: string; namespace: string; uid: string }
  status?: object
}

export interface ApiOptions {
  log(message: string): void
  now(): Date
}

/** Resources of one kind through a real API server. ConflictError where one has changed since it was read. */
export class ApiResources<R extends Resource> {
  readonly #custom: CustomObjectsApi
  readonly #core: CoreV1Api
  readonly #plural: string
  readonly #options: ApiOptions

  constructor(config: KubeConfig, plural: string, options: ApiOptions) {
    this.#custom = config.makeApiClient(CustomObjectsApi)
    this.#core = config.makeApiClient(CoreV1Api)
    this.#plural = plural
    this.#options = options
  }

  /** Server-side apply: the whole status, which is the controller's alone. Only upon the resource as it was read. */
  applyStatus(resource: R, status: NonNullable<R['status']>): Promise<R> {
    const { apiVersion, kind, metadata } = resource
    const { name, namespace, resourceVersion } = metadata
    return this.#onConflict(() =>
      this.#custom.patchNamespacedCustomObjectStatus(
        {
          ...this.#placeOf(resource),
          body: { apiVersion, kind, metadata: { name, namespace, resourceVersion }, status },
          fieldManager: MANAGER,
          force: true,
        },
        setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
      ),
    )
  }

  setFinalizers(resource: R, finalizers: string[]): Promise<R> {
    const { resourceVersion } = resource.metadata
    return this.#onConflict(() =>
      this.#custom.patchNamespacedCustomObject(
        { ...this.#placeOf(resource), body: { metadata: { finalizers, resourceVersion } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      ),
    )
  }

  /** Never fails: an event that is lost changes nothing. */
  async emit(resource: R, { type, reason, message }: EventText): Promise<void> {
    const { apiVersion, kind, metadata } = resource
    const { name, namespace, uid, resourceVersion } = metadata
    const time = this.#options.now()
    const digest = createHash('sha256').update(`${uid}${reason}${message}${time.toISOString()}`).digest('hex')
    try {
      await this.#core.createNamespacedEvent({
        namespace,
        body: {
          metadata: { name: `${name}.${digest.slice(0, 16)}`, namespace },
          involvedObject: {
            apiVersion,
            kind,
            name,
            namespace,
            uid,
            ...(resourceVersion && { resourceVersion }),
          },
          type,
          reason,
          message: message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message,
          firstTimestamp: time,
          lastTimestamp: time,
          count: 1,
          source: { component: MANAGER },
        },
      })
    } catch (error) {
      this.#options.log(`event ${reason} of ${namespace}/${name} is lost: ${(error as Error).message}`)
    }
  }

  #placeOf({ metadata: { name, namespace } }: R) {
    return { group: GROUP, version: VERSION, plural: this.#plural, name, namespace }
  }

  async #onConflict(call: () => Promise<unknown>): Promise<R> {
    try {
      return (await call()) as R
    } catch (error) {
      if (!(error instanceof ApiException) || error.code !== CONFLICT) throw error
      throw new ConflictError('The resource has changed since it was read.', { cause: error })
    }
  }
}
