import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { allowedCalls } from '../chart/allowed-calls.ts'
import { callsThatPass } from '../chart/calls-that-pass.ts'
import { dryRun } from '../chart/dry-run.ts'
import { gpuFleet, production } from '../chart/example-values.ts'
import { render } from '../chart/render.ts'
import { createNamespace, type TestCluster } from './test-cluster.ts'

export function chartSuite(shared: () => TestCluster): void {
  describe('the chart in a real API server', () => {
    let cluster: TestCluster
    before(async () => {
      cluster = shared()
      await createNamespace(cluster, 'team')
    })

    test('is taken whole, field by field', async () => {
      const values = [
        { ...production, fleets: [gpuFleet], monitoring: { dashboard: true }, controller: { replicas: 2 } },
        { quickstart: { enabled: true } },
      ]
      for (const each of values) {
        for (const manifest of await render(each)) {
          assert.equal(await dryRun(cluster.config, manifest, 'team'), undefined, manifest.metadata.name)
        }
      }
      const [manifest] = await render(production)
      assert(manifest)
      const misspelt = { ...manifest, spce: {} }
      assert.match((await dryRun(cluster.config, misspelt, 'team')) ?? '', /unknown field/)
    })

    test('is installed twice without a collision', async () => {
      const named = async (namespace: string) =>
        (await render(production, namespace))
          .filter(({ kind, metadata }) => kind.startsWith('Cluster') || metadata.namespace === 'default')
          .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      const [one, two] = [await named('one'), await named('two')]
      assert.equal(one.length, 4)
      assert.deepEqual(
        one.filter((name) => two.includes(name)),
        [],
      )
    })

    test('gives the controller what it needs, and nothing more', async () => {
      await install('team', { controller: { watchNamespaces: ['team'] } })
      const calls = async (name: string, namespace: string) => {
        const all = await allowedCalls(cluster.config, { namespace: 'team', name }, namespace)
        // Everybody who is known may ask what it may.
        const stranger = { namespace: 'team', name: 'a-stranger' }
        const everybodys = await allowedCalls(cluster.config, stranger, namespace)
        assert(everybodys.length > 0)
        return all.filter((call) => !everybodys.includes(call))
      }
      assert.deepEqual(await calls(CONTROLLER, 'team'), OWN_NAMESPACE)
      assert.deepEqual(await calls(CONTROLLER, 'default'), ELSEWHERE)
      assert.deepEqual(await calls('t-temper-worker', 'team'), [])
    })

    test('of every call that there is the controller may make those, and a worker none', async () => {
      await createNamespace(cluster, 'rights')
      await install('rights', {})
      const made: number[] = []
      const callsOf = async (name: string, namespace: string) => {
        const place = { namespace, names: [CONTROLLER, 'another'] }
        const { passed, made: count } = await callsThatPass(
          cluster.config,
          { namespace: 'rights', name },
          place,
        )
        made.push(count)
        return passed
      }
      // Everybody who is known may ask what it may.
      const everybodys = await callsOf('a-stranger', 'rights')
      const passed = async (name: string, namespace: string) =>
        (await callsOf(name, namespace)).filter((call) => !everybodys.includes(call))
      /** Whoever may patch any pod may patch each of the two. */
      const withNames = (calls: readonly string[]) =>
        calls
          // Its resource is not installed here.
          .filter((call) => !call.includes('finetuneschedules'))
          .flatMap((call) =>
            call.startsWith('patch ') ? [`${call} ${CONTROLLER}`, `${call} another`] : [call],
          )
          .toSorted()
      assert.deepEqual(await passed(CONTROLLER, 'rights'), withNames(OWN_NAMESPACE))
      assert.deepEqual(await passed(CONTROLLER, 'default'), withNames(ELSEWHERE))
      assert.deepEqual(await passed(CONTROLLER, 'team'), withNames(WHOLE_CLUSTER))
      assert.deepEqual(await passed('t-temper-worker', 'rights'), [])
      // Discovery has found the API.
      assert(Math.min(...made) > 500, made.join(', '))
    })

    async function install(namespace: string, values: object): Promise<void> {
      const kinds = ['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding', 'ServiceAccount']
      for (const manifest of await render({ ...production, ...values }, namespace)) {
        if (!kinds.includes(manifest.kind)) continue
        const place = manifest.kind.startsWith('Cluster')
          ? {}
          : { namespace: manifest.metadata.namespace ?? namespace }
        await cluster.objects.create({ ...manifest, metadata: { ...manifest.metadata, ...place } })
      }
    }
  })
}

const CONTROLLER = 't-temper-controller'
/** The table of docs/kubernetes.md. */
const OWN_NAMESPACE = [
  'create core/events',
  `get coordination.k8s.io/leases ${CONTROLLER}`,
  'list core/events',
  'list core/nodes',
  'list core/pods',
  'list temper.dev/finetunes',
  'list temper.dev/finetuneschedules',
  'patch core/pods',
  'patch temper.dev/finetunes',
  'patch temper.dev/finetunes/status',
  'patch temper.dev/finetuneschedules',
  'patch temper.dev/finetuneschedules/status',
  `update coordination.k8s.io/leases ${CONTROLLER}`,
  'watch core/nodes',
  'watch core/pods',
  'watch temper.dev/finetunes',
  'watch temper.dev/finetuneschedules',
]
/** Where Kubernetes keeps the events of nodes. */
const ELSEWHERE = ['list core/events', 'list core/nodes', 'watch core/nodes']
const WHOLE_CLUSTER = ['list core/nodes', 'watch core/nodes']
