import { createHash } from 'node:crypto'
import {
  ApiException,
  CoreV1Api,
  CustomObjectsApi,
  type KubeConfig,
  PatchStrategy,
  setHeaderOptions,
} from '@kubernetes/client-node'
import { ConflictError } from '../src/errors.ts'
import { type FineTuneResource, type FineTuneStatus, GROUP, PLURAL, VERSION } from './fine-tune-resource.ts'
import type { EventText, FineTunes } from './fine-tunes.ts'

const MANAGER = 'temper-controller'
/** What the API server takes as an event's message. */
const MAX_MESSAGE = 1024
const CONFLICT = 409

interface FineTunesOptions {
  log(message: string): void
  now(): Date
}

/** FineTunes through a real API server. */
export class ApiFineTunes implements FineTunes {
  readonly dropped = new Set<string>()
  readonly #custom: CustomObjectsApi
  readonly #core: CoreV1Api
  readonly #options: FineTunesOptions

  constructor(config: KubeConfig, options: FineTunesOptions) {
    this.#custom = config.makeApiClient(CustomObjectsApi)
    this.#core = config.makeApiClient(CoreV1Api)
    this.#options = options
  }

  async applyStatus(resource: FineTuneResource, status: FineTuneStatus): Promise<FineTuneResource> {
    for (;;) {
      const known = Object.fromEntries(Object.entries(status).filter(([field]) => !this.dropped.has(field)))
      try {
        return await this.#apply(resource, known)
      } catch (error) {
        if (!this.#drop(error)) throw error
      }
    }
  }

  #apply(resource: FineTuneResource, status: object): Promise<FineTuneResource> {
    const { apiVersion, kind, metadata } = resource
    const { name, namespace, resourceVersion } = metadata
    return onConflict(() =>
      this.#custom.patchNamespacedCustomObjectStatus(
        {
          ...placeOf(resource),
          body: { apiVersion, kind, metadata: { name, namespace, resourceVersion }, status },
          fieldManager: MANAGER,
          force: true,
        },
        setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
      ),
    )
  }

  /** An older CRD takes no field that it does not know: it is left out from now on, and that is said once. */
  #drop(error: unknown): boolean {
    const [, field] = /\.status\.(\w+)[^:]*: field not declared in schema/.exec(bodyOf(error)) ?? []
    if (field === undefined || this.dropped.has(field)) return false
    this.dropped.add(field)
    this.#options.log(
      `the cluster does not know status.${field}: its CRD is older than this controller; apply the chart's crds folder`,
    )
    return true
  }

  setFinalizers(resource: FineTuneResource, finalizers: string[]): Promise<FineTuneResource> {
    const { resourceVersion } = resource.metadata
    return onConflict(() =>
      this.#custom.patchNamespacedCustomObject(
        { ...placeOf(resource), body: { metadata: { finalizers, resourceVersion } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      ),
    )
  }

  async emit(resource: FineTuneResource, { type, reason, message }: EventText): Promise<void> {
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
}

function placeOf({ metadata: { name, namespace } }: FineTuneResource) {
  return { group: GROUP, version: VERSION, plural: PLURAL, name, namespace }
}

async function onConflict(call: () => Promise<unknown>): Promise<FineTuneResource> {
  try {
    return (await call()) as FineTuneResource
  } catch (error) {
    if (error instanceof ApiException && error.code === CONFLICT) {
      throw new ConflictError('The resource has changed since it was read.', { cause: error })
    }
    throw error
  }
}

function bodyOf(error: unknown): string {
  if (!(error instanceof ApiException)) return ''
  return typeof error.body === 'string' ? error.body : JSON.stringify(error.body)
}
