import type { CoreV1Api, CustomObjectsApi, AppsV1Api } from '@kubernetes/client-node'
import { InputError, TransientError } from '../../src/errors.ts'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'

export interface ClusterOptions {
  /** The kubeconfig's context's own by default. */
  namespace?: string
  context?: string
}

/** A cluster as the user's kubeconfig names it. */
export interface Cluster {
  namespace: string
  /** For messages. */
  server: string
  apps: AppsV1Api
  core: CoreV1Api
  custom: CustomObjectsApi
  /** Server-side apply of the document as it was written. */
  apply(document: object): Promise<FineTuneResource>
  /** What a call answers; its refusal as one sentence. */
  ask<T>(call: Promise<T>): Promise<T>
}

/** Opens the cluster of KUBECONFIG, ~/.kube/config, or the pod that this runs in. InputError where none is configured. */
export async function openCluster({ namespace, context }: ClusterOptions): Promise<Cluster> {
  // Loaded only where it is wanted: it takes longer than everything else of a command.
  const { AppsV1Api, CoreV1Api, CustomObjectsApi, KubeConfig, KubernetesObjectApi, PatchStrategy } =
    await import('@kubernetes/client-node')
  const config = new KubeConfig()
  try {
    config.loadFromDefault()
  } catch (error) {
    throw new InputError(`The kubeconfig cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null)
      throw new InputError(
        `The kubeconfig has no context ${context}; it has ${config.contexts.map(({ name }) => name).join(', ') || 'none'}.`,
      )
    config.setCurrentContext(context)
  }
  const cluster = config.getCurrentCluster()
  // What the client falls back to where there is no kubeconfig at all.
  if (cluster === null || cluster.server === 'http://localhost:8080')
    throw new InputError(
      'No cluster is configured: set KUBECONFIG, or give --context one of your kubeconfig.',
    )
  const { server } = cluster
  const inNamespace = namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default'
  const objects = KubernetesObjectApi.makeApiClient(config)
  return {
    namespace: inNamespace,
    server,
    apps: config.makeApiClient(AppsV1Api),
    core: config.makeApiClient(CoreV1Api),
    custom: config.makeApiClient(CustomObjectsApi),
    apply: (document) =>
      objects.patch<FineTuneResource>(
        document as FineTuneResource,
        undefined,
        undefined,
        'temper',
        undefined,
        PatchStrategy.ServerSideApply,
      ),
    ask: async (call) => {
      try {
        return await call
      } catch (error) {
        throw explained(error, server)
      }
    },
  }
}

const UNPROCESSABLE = 422
const REFUSED = [400, 401, 403, 404, 409, UNPROCESSABLE]

/** The API server's own sentence. */
function explained(error: unknown, server: string): Error {
  const { code, body } = error as { code?: unknown; body?: unknown }
  if (typeof code !== 'number') {
    const why =
      error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : ''
    return new TransientError(`The API server ${server} does not answer: ${why}`, { cause: error })
  }
  const message = messageOf(body) ?? `HTTP ${code}`
  if (code === 404 && message.includes('could not find the requested resource'))
    return new InputError(`The cluster ${server} has no resource FineTune: install the chart first.`, {
      cause: error,
    })
  return REFUSED.includes(code)
    ? new InputError(message, { cause: error })
    : new TransientError(`The API server ${server}: ${message}`, { cause: error })
}

function messageOf(body: unknown): string | undefined {
  let value = body
  if (typeof value === 'string') {
    try {
      value = JSON.parse(value)
    } catch {
      return value as string
    }
  }
  return (value as { message?: string } | undefined)?.message
}
