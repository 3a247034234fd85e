import { Agent, type RequestOptions, request } from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'

/** What the API server serves, by its own discovery: `pods`, `pods/log`, `deployments` of group `apps`. */
interface Served {
  group: string
  root: string
  name: string
  namespaced: boolean
  verbs: readonly string[]
}

interface Account {
  namespace: string
  name: string
}

/** Nothing is changed even by a call that ought to be refused and is not. */
const HARMLESS = 'dryRun=All'
const AT_ONCE = 16
const FORBIDDEN = 403
const METHODS: Record<string, string> = {
  get: 'GET',
  list: 'GET',
  watch: 'GET',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETE',
}
/** Calls of one object, which has a name in their path. */
const OF_ONE = ['get', 'update', 'patch', 'delete']

/**
 * Makes every call that there is (each verb of each resource that the API server serves, in a namespace and of the whole cluster) in the
 * name of a service account, and answers those that are not refused: `verb group/resource name`, where `names` are tried for objects.
 */
export async function callsThatPass(
  config: KubeConfig,
  account: Account,
  { namespace, names }: { namespace: string; names: readonly string[] },
): Promise<{ passed: string[]; made: number }> {
  const options: RequestOptions = {}
  await config.applyToHTTPSOptions(options)
  // Thousands of calls: a handshake each would take most of the time.
  const { ca, cert, key } = options
  const agent = new Agent({ keepAlive: true, ca, cert, key })
  options.agent = agent
  const server = config.getCurrentCluster()?.server ?? ''
  const user = `system:serviceaccount:${account.namespace}:${account.name}`
  const calls = (await served(server, options)).flatMap((resource) =>
    resource.verbs.flatMap((verb) =>
      (isOfOne(resource, verb) ? names : ['']).map((name) => ({
        text: `${verb} ${resource.group || 'core'}/${resource.name}${name && ` ${name}`}`,
        method: METHODS[verb] ?? '',
        url: `${server}${pathOf(resource, namespace, name)}?${HARMLESS}${verb === 'watch' ? '&watch=1' : ''}`,
      })),
    ),
  )
  const passed: string[] = []
  const left = [...calls]
  const work = async (): Promise<void> => {
    for (let call = left.pop(); call !== undefined; call = left.pop()) {
      const headers = { 'impersonate-user': user, 'content-type': 'application/merge-patch+json' }
      const { status } = await ask(call.url, { ...options, method: call.method, headers })
      if (status !== FORBIDDEN) passed.push(call.text)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  agent.destroy()
  return { passed: passed.toSorted(), made: calls.length }
}

/** A subresource is always of one object. */
function isOfOne({ name }: Served, verb: string): boolean {
  return OF_ONE.includes(verb) || name.includes('/')
}

function pathOf({ root, name, namespaced }: Served, namespace: string, object: string): string {
  const [resource, ...sub] = name.split('/')
  const place = namespaced ? `${root}/namespaces/${namespace}` : root
  return [place, resource, ...(object ? [object] : []), ...sub].join('/')
}

async function served(server: string, options: RequestOptions): Promise<Served[]> {
  const read = async <T>(path: string) => JSON.parse((await ask(`${server}${path}`, options)).text) as T
  const { groups } = await read<{ groups: { preferredVersion: { groupVersion: string } }[] }>('/apis')
  const versions = groups.map(({ preferredVersion }) => preferredVersion.groupVersion)
  const roots = ['/api/v1', ...versions.map((version) => `/apis/${version}`)]
  const lists = await Promise.all(
    roots.map(async (root) => {
      const [, , group = ''] = root.startsWith('/apis/') ? root.split('/') : []
      const { resources } = await read<{ resources: Omit<Served, 'group' | 'root'>[] }>(root)
      return resources.map(({ name, namespaced, verbs }) => ({ group, root, name, namespaced, verbs }))
    }),
  )
  return lists.flat()
}

function ask(url: string, options: RequestOptions): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const call = request(url, options, (response) => {
    const status = response.statusCode ?? 0
    let text = ''
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    response.on('end', () => resolve({ status, text }))
    // A watch has no end.
    if (url.endsWith('&watch=1')) {
      resolve({ status, text })
      response.destroy()
    }
  })
  call.on('error', reject).end()
  return promise
}
