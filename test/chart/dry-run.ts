import { request } from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import type { Rendered } from './render.ts'

const CLUSTER_WIDE = ['ClusterRole', 'ClusterRoleBinding']

/**
 * Creates nothing, but has the API server look at the manifest as it would: an unknown or doubled field is an error too. Not
 * through the typed client, which would leave out what it doesn't know. Answers what is wrong, or undefined.
 */
export async function dryRun(
  config: KubeConfig,
  manifest: Rendered,
  namespace: string,
): Promise<string | undefined> {
  const { apiVersion, kind } = manifest
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const place = CLUSTER_WIDE.includes(kind) ? '' : `/namespaces/${manifest.metadata.namespace ?? namespace}`
  const plural = `${kind.toLowerCase()}s`.replace(/ys$/, 'ies')
  const url = `${config.getCurrentCluster()?.server}${root}${place}/${plural}?dryRun=All&fieldValidation=Strict`
  const options = { method: 'POST', headers: { 'content-type': 'application/json' } }
  await config.applyToHTTPSOptions(options)
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  const call = request(url, options, (response) => {
    let text = ''
    response.on('data', (chunk: Buffer) => (text += chunk.toString()))
    response.on('end', () => resolve(response.statusCode === 201 ? undefined : text))
  })
  call.on('error', reject).end(JSON.stringify(manifest))
  return promise
}
