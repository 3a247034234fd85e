import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ChildProcess, spawn } from 'node:child_process'
import { afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CoordinationV1Api, CoreV1Api } from '@kubernetes/client-node'
import { jobIdOf } from '../../jobs/job-id.ts'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { render } from '../chart/render.ts'
import { createNamespace, fineTune, type TestCluster } from './test-cluster.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker } from '../support/test-worker.ts'
import { playedStages } from './played-stages.ts'
import { readFineTune } from './test-controller.ts'
import { freePorts } from '../support/cluster/free-ports.ts'

const NAMESPACE = 'staff'
const entry = fileURLToPath(new URL('../../k8s/main.ts', import.meta.url))
const lease = 't-temper-controller'

// The controller's own process with the rights that the chart gives it, and no Temporal.
export function controllerProcessSuite(shared: () => TestCluster): void {
  describe('two processes of the controller', () => {
    let cluster: TestCluster
    const processes: ChildProcess[] = []
    before(async () => {
      cluster = shared()
      await createNamespace(cluster, NAMESPACE)
      const values = { temporal: { address: '127.0.0.1:1' }, store: { uri: 's3://bucket/temper' } }
      for (const manifest of await render(values, NAMESPACE)) {
        if (!/Role|Lease/.test(manifest.kind)) continue
        const namespace = manifest.kind.startsWith('Cluster')
          ? {}
          : { namespace: manifest.metadata.namespace ?? NAMESPACE }
        await cluster.objects.create({ ...manifest, metadata: { ...manifest.metadata, ...namespace } })
      }
    })
    // By a signal that they heed: the lease is given back at once.
    afterEach(async () => {
      for (const child of processes.splice(0)) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const exit = once(child, 'exit')
        child.kill('SIGTERM')
        await exit
      }
    })

    async function start(
      name: string,
      address = '127.0.0.1:1',
    ): Promise<{ child: ChildProcess; port: number }> {
      const [port = 0] = await freePorts(1)
      const groups = ['system:serviceaccounts', 'system:authenticated']
      const child = spawn(process.execPath, [entry], {
        stdio: ['ignore', 'inherit', 'ignore'],
        env: {
          ...process.env,
          KUBECONFIG: await cluster.plane.kubeconfigFor(
            `system:serviceaccount:${NAMESPACE}:${lease}`,
            groups,
          ),
          POD_NAME: name,
          POD_NAMESPACE: NAMESPACE,
          TEMPER_LEASE: lease,
          TEMPER_WORKER_SELECTOR: 'app.kubernetes.io/component=worker',
          TEMPER_FLEETS: JSON.stringify([{ name: 'cpu', taskQueue: CONTROL_QUEUE }]),
          TEMPORAL_ADDRESS: address,
          TEMPER_HEALTH_PORT: String(port),
        },
      })
      processes.push(child)
      return { child, port }
    }

    async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
      for (;;) {
        const found = await look().catch(() => undefined)
        if (found !== undefined && found !== false) return found
        await sleep(100)
      }
    }

    const leader = async () => {
      const { spec } = await cluster.config
        .makeApiClient(CoordinationV1Api)
        .readNamespacedLease({ name: lease, namespace: NAMESPACE })
      return spec?.holderIdentity || undefined
    }

    test('one leads with no more rights than the table names; the other takes over when it goes', async () => {
      const first = await start('first')
      assert.equal(await until(leader), 'first')
      const second = await start('second')
      const get = (port: number, path: string) => fetch(`http://127.0.0.1:${port}${path}`)
      await until(async () => (await get(first.port, '/readyz')).ok)
      await until(async () => (await get(second.port, '/healthz')).ok)
      assert.match(await (await get(second.port, '/metrics')).text(), /temper_controller_leader 0/)
      const body = fineTune('alone')
      await cluster.objects.create({ ...body, metadata: { ...body.metadata, namespace: NAMESPACE } })
      const found = await until(async () => {
        const resource = await cluster.objects.read<FineTuneResource>({
          ...body,
          metadata: { name: 'alone', namespace: NAMESPACE },
        })
        return resource.status?.conditions.some(({ type }) => type === 'TemporalReachable') && resource
      })
      assert.deepEqual(found.metadata.finalizers, ['temper.dev/cancel-workflow'])
      const events = cluster.config.makeApiClient(CoreV1Api)
      await until(async () => (await events.listNamespacedEvent({ namespace: NAMESPACE })).items.length > 0)
      first.child.kill('SIGTERM')
      const [code] = (await once(first.child, 'exit')) as [number | null]
      assert.equal(code, 0)
      assert.equal(await until(async () => ((await leader()) === 'second' ? 'second' : undefined)), 'second')
      assert.match(await (await get(second.port, '/metrics')).text(), /temper_controller_leader 1/)
    })

    test('killed again and again at any moment, it brings every FineTune to its end, each started once', async () => {
      const worker = await startTestWorker(CONTROL_QUEUE, playedStages)
      try {
        const names = Array.from({ length: 10 }, (_, i) => `survivor-${i}`)
        const isComplete = ({ status }: FineTuneResource) =>
          status?.conditions.some(({ type, status }) => type === 'Complete' && status === 'True') ?? false
        const all = () => Promise.all(names.map((name) => readFineTune(cluster, name, NAMESPACE)))
        await Promise.all(names.map((name) => cluster.objects.create(fineTune(name, {}, NAMESPACE))))
        let kills = 0
        for (;;) {
          // A pod that is begun again has its name again, and so its lease.
          const { child, port } = await start('phoenix', worker.temporal.address)
          await until(async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok)
          if (kills < KILLS) await sleep(Math.random() * 3_000)
          else await until(async () => (await all()).every(isComplete))
          const exit = once(child, 'exit')
          child.kill('SIGKILL')
          await exit
          if (kills++ === KILLS) break
        }
        for (const { metadata } of await all()) {
          const runs = worker.client.workflow.list({ query: `WorkflowId = '${jobIdOf(metadata.uid)}'` })
          let count = 0
          for await (const _ of runs) count++
          assert.equal(count, 1, `${metadata.name} was started once`)
        }
      } finally {
        await worker.stop()
      }
    })
  })
}

const KILLS = 3
