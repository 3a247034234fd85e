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
import { GROUP, VERSION } from './fine-tune-resource.ts'
import {
  type FineTuneScheduleResource,
  type FineTuneScheduleStatus,
  SCHEDULE_PLURAL,
} from './fine-tune-schedule-resource.ts'
import type { EventText } from './fine-tunes.ts'

const MANAGER = 'temper-controller'
/** What the API server takes as an event's message. */
const MAX_MESSAGE = 1024
const CONFLICT = 409

interface Options {
  log(message: string): void
  now(): Date
}

/** FineTuneSchedules through a real API server. ConflictError where one has changed since it was read. */
export class ApiSchedules {
  readonly #custom: CustomObjectsApi
  readonly #core: CoreV1Api
  readonly #options: Options

  constructor(config: KubeConfig, options: Options) {
    this.#custom = config.makeApiClient(CustomObjectsApi)
    this.#core = config.makeApiClient(CoreV1Api)
    this.#options = options
  }

  /** Server-side apply: the whole status, which is the controller's alone. Only upon the resource as it was read. */
  applyStatus(
    resource: FineTuneScheduleResource,
    status: FineTuneScheduleStatus,
  ): Promise<FineTuneScheduleResource> {
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

  setFinalizers(resource: FineTuneScheduleResource, finalizers: string[]): Promise<FineTuneScheduleResource> {
    const { resourceVersion } = resource.metadata
    return onConflict(() =>
      this.#custom.patchNamespacedCustomObject(
        { ...placeOf(resource), body: { metadata: { finalizers, resourceVersion } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      ),
    )
  }

  /** Never fails: an event that is lost changes nothing. */
  async emit(resource: FineTuneScheduleResource, { type, reason, message }: EventText): Promise<void> {
    const { apiVersion, kind, metadata } = resource
    const { name, namespace, uid } = metadata
    const time = this.#options.now()
    const digest = createHash('sha256').update(`${uid}${reason}${message}${time.toISOString()}`).digest('hex')
    try {
      await this.#core.createNamespacedEvent({
        namespace,
        body: {
          metadata: { name: `${name}.${digest.slice(0, 16)}`, namespace },
          involvedObject: { apiVersion, kind, name, namespace, uid },
          type,
          reason,
          message: message.slice(0, MAX_MESSAGE),
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

function placeOf({ metadata: { name, namespace } }: FineTuneScheduleResource) {
  return { group: GROUP, version: VERSION, plural: SCHEDULE_PLURAL, name, namespace }
}

async function onConflict(call: () => Promise<unknown>): Promise<FineTuneScheduleResource> {
  try {
    return (await call()) as FineTuneScheduleResource
  } catch (error) {
    if (!(error instanceof ApiException) || error.code !== CONFLICT) throw error
    throw new ConflictError('The resource has changed since it was read.', { cause: error })
  }
}
