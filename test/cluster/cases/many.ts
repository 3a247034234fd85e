import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CustomObjectsApi, type KubeConfig } from '@kubernetes/client-node'
import type { Client } from '@temporalio/client'
import type { FineTuneResource } from '../../../k8s/fine-tune-resource.ts'
import { jobIdOf } from '../../../jobs/job-id.ts'
import { type Rendered, find, render } from '../../chart/render.ts'
import { type MemoryGroup, memoryGroup } from '../../faults/memory-group.ts'
import { type TestCluster, fineTune, startTestCluster } from '../../k8s/test-cluster.ts'
import { controlPlaneMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { freePorts } from '../../support/cluster/free-ports.ts'
import { type ServerProcess, startServer } from '../../support/cluster/server-process.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { startHostTemporal } from '../host-temporal.ts'
import { type Surroundings, seconds } from '../surroundings.ts'

const COUNT = 2_000
const NAMESPACE = 'team'
const CONTROLLER = 't-temper-controller'
const PLACE = { group: 'temper.dev', version: 'v1alpha1', plural: 'finetunes', namespace: NAMESPACE }
const AT_ONCE = 50
const KILLS = [300, 900, 1_500]
/** Beyond what any wait needs: reaching it is a failure, never a measurement. */
const LIMIT_MILLISECONDS = 10 * 60_000
const LAST_CHARACTERS = 2_000
const entry = fileURLToPath(new URL('../../../k8s/main.ts', import.meta.url))

export const many: ClusterCase = {
  name: 'many',
  what: `${COUNT} FineTunes created at once against a real API server, the controller killed three times, with the memory that the chart gives it`,
  missing: async () =>
    process.getuid?.() === 0
      ? ((await controlPlaneMissing()) ?? programsMissing(['helm']))
      : 'a limit of memory needs root',
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const folder = join(place.folder, 'many')
  await mkdir(folder)
  const cluster = await startTestCluster()
  try {
    const temporal = await startHostTemporal('127.0.0.1', folder)
    try {
      const client = await temporal.clientOf('many')
      const manifests = await render({ temporal: { address: 't:7233' }, store: { uri: 's3://b/t' } })
      await installRights(cluster, manifests)
      await using group = await memoryGroup('many', memoryLimit(manifests))
      const lives = new Lives(cluster, temporal.address, folder, group)
      try {
        await reconcileAll(cluster, client, lives, say)
      } catch (error) {
        throw new Error(
          `${(error as Error).message}; the controller's last words:\n${await lives.lastWords()}`,
          {
            cause: error,
          },
        )
      } finally {
        await lives.end()
      }
    } finally {
      await temporal.stop()
    }
  } finally {
    await cluster.stop()
  }
}

async function installRights({ objects }: TestCluster, manifests: readonly Rendered[]): Promise<void> {
  await objects.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  for (const manifest of manifests) {
    if (!/Role|Lease/.test(manifest.kind)) continue
    const namespace = manifest.kind.startsWith('Cluster') ? {} : { namespace: NAMESPACE }
    await objects.create({ ...manifest, metadata: { ...manifest.metadata, ...namespace } })
  }
}

/** Of the controller's container, in bytes. */
function memoryLimit(manifests: readonly Rendered[]): number {
  const [container] = find(manifests, 'Deployment', CONTROLLER).spec?.template?.spec.containers ?? []
  const [, mebibytes] = /^(\d+)Mi$/.exec(container?.resources.limits?.['memory'] ?? '') ?? []
  assert(mebibytes, 'the chart limits its memory')
  return Number(mebibytes) * 2 ** 20
}

async function reconcileAll(
  cluster: TestCluster,
  client: Client,
  lives: Lives,
  say: (line: string) => void,
): Promise<void> {
  const api = cluster.config.makeApiClient(CustomObjectsApi)
  await lives.begin()
  const began = performance.now()
  const names = Array.from({ length: COUNT }, (_, index) => `job-${index}`)
  const create = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const { metadata, ...document } = fineTune(name)
      await api.createNamespacedCustomObject({
        ...PLACE,
        body: { ...document, metadata: { ...metadata, namespace: NAMESPACE } },
      })
    }
  }
  const creating = Promise.all(Array.from({ length: AT_ONCE }, create)).then(() =>
    say(`${COUNT} created in ${seconds(began)}`),
  )
  const started = () => client.workflow.count("WorkflowType = 'fineTune'").then(({ count }) => count)
  for (const kill of KILLS) {
    await until(async () => (await started()) >= kill)
    await lives.kill()
    say(
      `controller killed with ${await started()} workflows started, ${seconds(began)} after the first creation`,
    )
    await lives.begin()
  }
  await creating
  await until(async () => (await started()) === COUNT)
  let resources: FineTuneResource[] = []
  await until(async () => {
    const list = (await api.listNamespacedCustomObject(PLACE)) as { items: FineTuneResource[] }
    resources = list.items
    // Written after the workflow was seen: everything that is to be done for a job without workers is done.
    return resources.every(({ status }) => status?.startTime !== undefined)
  })
  say(`all ${COUNT} reconciled ${seconds(began)} after the first creation`)
  const ids = new Set<string>()
  for await (const { workflowId } of client.workflow.list({ query: "WorkflowType = 'fineTune'" }))
    ids.add(workflowId)
  assert.deepEqual(
    [...ids].toSorted(),
    resources.map(({ metadata }) => jobIdOf(metadata.uid)).toSorted(),
    'each FineTune has its workflow, and no workflow is without one',
  )
  say(`none lost: ${ids.size} workflows, one for each FineTune`)
  await lives.kill()
  say(`memory of the controller at its largest: ${(lives.peakBytes / 1e6).toFixed(0)} MB, none killed for it`)
  const calls = await callsOf(cluster.config)
  const total = Object.values(calls).reduce((sum, count) => sum + count, 0)
  say(`its calls of the API server: ${(total / COUNT).toFixed(1)} per FineTune (${textOf(calls)})`)
  const ceiling = 20
  assert(total / COUNT < ceiling, `fewer than ${ceiling} calls per FineTune`)
}

/** A controller's process after the other, each with the chart's rights. */
class Lives {
  peakBytes = 0
  readonly #cluster: TestCluster
  readonly #temporal: string
  readonly #log: string
  readonly #group: MemoryGroup
  #number = 0
  #server: ServerProcess | undefined

  constructor(cluster: TestCluster, temporal: string, folder: string, group: MemoryGroup) {
    this.#cluster = cluster
    this.#temporal = temporal
    this.#log = join(folder, 'controller.log')
    this.#group = group
  }

  async begin(): Promise<void> {
    const [port = 0] = await freePorts(1)
    const groups = ['system:serviceaccounts', 'system:authenticated']
    const user = `system:serviceaccount:${NAMESPACE}:${CONTROLLER}`
    // Node takes its limits from the group that it starts in, as it does in a container.
    const inGroup = `echo $$ > ${join(this.#group.folder, 'cgroup.procs')} && exec "$0" "$@"`
    this.#server = await startServer('controller', 'sh', ['-c', inGroup, process.execPath, entry], {
      log: this.#log,
      environment: {
        KUBECONFIG: await this.#cluster.plane.kubeconfigFor(user, groups),
        POD_NAME: `controller-${++this.#number}`,
        POD_NAMESPACE: NAMESPACE,
        TEMPER_LEASE: CONTROLLER,
        TEMPER_FLEETS: '[{"name":"cpu","taskQueue":"finetune-train-cpu"}]',
        TEMPORAL_ADDRESS: this.#temporal,
        TEMPORAL_NAMESPACE: 'many',
        TEMPER_HEALTH_PORT: String(port),
      },
    })
  }

  async kill(): Promise<void> {
    const server = this.#server
    if (!server) return
    assert.equal(this.#group.kills(), 0, "the controller keeps within the chart's limit")
    const status = await readFile(`/proc/${server.identity.pid}/status`, 'utf8')
    const kilobytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
    this.peakBytes = Math.max(this.peakBytes, kilobytes * 1024)
    await server.stop('SIGKILL')
    this.#server = undefined
  }

  async end(): Promise<void> {
    await this.#server?.stop('SIGKILL')
  }

  async lastWords(): Promise<string> {
    return (await readFile(this.#log, 'utf8')).slice(-LAST_CHARACTERS)
  }
}

/** What the API server has counted, without the test's own creations and listings. */
async function callsOf(config: KubeConfig): Promise<Record<string, number>> {
  const text = await metrics(config)
  const calls: Record<string, number> = {}
  for (const [, labels = '', value = ''] of text.matchAll(
    /^apiserver_request_total\{([^}]*)\} ([\d.e+]+)$/gm,
  )) {
    const label = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(labels)?.[1] ?? ''
    const what = [label('resource'), label('subresource')].filter(Boolean).join('/')
    const own =
      /^(finetunes|events|leases|pods|nodes)/.test(what) &&
      !/^(POST|LIST) finetunes/.test(`${label('verb')} ${what}`)
    if (own) calls[`${label('verb')} ${what}`] = (calls[`${label('verb')} ${what}`] ?? 0) + Number(value)
  }
  return calls
}

function textOf(calls: Record<string, number>): string {
  return Object.entries(calls)
    .toSorted(([, a], [, b]) => b - a)
    .map(([call, count]) => `${call} ${count}`)
    .join(', ')
}

async function metrics(config: KubeConfig): Promise<string> {
  const options = {}
  await config.applyToHTTPSOptions(options)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const call = request(`${config.getCurrentCluster()?.server}/metrics`, options, (response) => {
    let text = ''
    response.on('data', (chunk: Buffer) => (text += chunk.toString()))
    response.on('end', () => resolve(text))
  })
  call.on('error', reject).end()
  return promise
}

async function until(look: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MILLISECONDS
  while (!(await look())) {
    if (performance.now() > end) throw new Error('waited in vain')
    await sleep(500)
  }
}
