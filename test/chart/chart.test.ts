import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { AuthorizationV1Api, KubeConfig } from '@kubernetes/client-node'
import { valuesReference } from '../../scripts/values-reference.ts'
import { parseFleets } from '../../k8s/fleets.ts'
import { missingApiServer, startTestCluster, type TestCluster } from '../k8s/test-cluster.ts'
import { programsMissing } from '../support/cluster/binaries.ts'
import { dryRun } from './dry-run.ts'
import { find, helm, render } from './render.ts'

const skip =
  (await missingApiServer()) ?? (process.env['CI'] ? false : ((await programsMissing(['helm'])) ?? false))
const production = { temporal: { address: 'temporal:7233' }, store: { uri: 's3://bucket/temper' } }
const gpuFleet = {
  name: 'a100',
  taskQueue: 'finetune-gpu-a100',
  gpu: { resource: 'nvidia.com/gpu', count: 2 },
  nodeSelector: { pool: 'a100' },
  min: 0,
  max: 5,
  replicas: 0,
}

test("the chart's README is what its values say (node scripts/generate-values-reference.ts)", () => {
  const page = readFileSync(new URL('../../charts/temper/README.md', import.meta.url), 'utf8')
  assert.equal(page, valuesReference())
})

describe('the chart', { skip, timeout: 120_000 }, () => {
  test('passes helm lint --strict, and says what is missing or misspelt', async () => {
    await helm(['lint', '--strict'], production)
    await assert.rejects(render({}), /temporal\.address is missing|store\.uri is missing/)
    await assert.rejects(render({ ...production, fleet: [] }))
    await assert.rejects(render({ ...production, fleets: [] }))
  })

  test('makes a fleet of each entry, and tells the controller of them', async () => {
    const manifests = await render({ ...production, fleets: [gpuFleet] })
    const fleet = find(manifests, 'Deployment', 't-temper-a100')
    assert.equal(fleet.spec?.['replicas'], 0)
    const pod = fleet.spec?.template?.spec
    assert.deepEqual(pod?.nodeSelector, { pool: 'a100' })
    assert.equal(pod.containers[0]?.resources.limits?.['nvidia.com/gpu'], '2')
    assert.equal(
      pod.containers[0].env.find(({ name }) => name === 'TEMPER_QUEUES')?.value,
      gpuFleet.taskQueue,
    )
    const controller = find(manifests, 'Deployment', 't-temper-controller').spec?.template?.spec.containers[0]
    const fleets = controller?.env.find(({ name }) => name === 'TEMPER_FLEETS')?.value ?? ''
    const { name, taskQueue, gpu, nodeSelector } = gpuFleet
    assert.deepEqual(parseFleets(fleets), [{ name, taskQueue, gpu, nodeSelector }])
  })

  test('keeps every pod within the restricted standard, and gives workers no token', async () => {
    for (const values of [production, { quickstart: { enabled: true } }]) {
      for (const { kind, metadata, spec } of await render(values)) {
        if (kind !== 'Deployment') continue
        const pod = spec?.template?.spec
        assert.equal(pod?.automountServiceAccountToken, metadata.name === 't-temper-controller')
        assert.partialDeepStrictEqual(pod.securityContext, {
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        })
        for (const { securityContext } of pod.containers) {
          assert.deepEqual(securityContext, {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          })
        }
      }
    }
  })

  test('scales by the queue with KEDA, and then sets no number of replicas', async () => {
    const manifests = await render({
      ...production,
      temporal: { ...production.temporal, existingSecret: 'cloud', secretHas: ['apiKey'] },
      fleets: [gpuFleet],
      keda: { enabled: true },
    })
    assert.equal(find(manifests, 'Deployment', 't-temper-a100').spec?.['replicas'], undefined)
    const scaled = find(manifests, 'ScaledObject', 't-temper-a100').spec
    assert.equal(scaled?.['minReplicaCount'], 0)
    assert.equal(scaled['maxReplicaCount'], 5)
    assert.deepEqual((scaled['triggers'] as object[])[0], {
      type: 'temporal',
      authenticationRef: { name: 't-temper-temporal' },
      metadata: {
        endpoint: 'temporal:7233',
        namespace: 'default',
        taskQueue: gpuFleet.taskQueue,
        queueTypes: 'workflow,activity',
        targetQueueSize: '1',
        activationTargetQueueSize: '0',
        includeRunningWorkflowCount: 'true',
        workflowTaskQueueForCount: gpuFleet.taskQueue,
        enableTLS: 'true',
      },
    })
  })

  describe('in a real API server', () => {
    let cluster: TestCluster
    before(async () => {
      cluster = await startTestCluster()
      await cluster.objects.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } })
    })
    after(() => cluster?.stop())

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

    test('gives the controller what it needs, and nothing more', async () => {
      const kinds = ['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding', 'ServiceAccount']
      for (const manifest of await render({ ...production, controller: { watchNamespaces: ['team'] } })) {
        if (!kinds.includes(manifest.kind)) continue
        const namespace = manifest.kind.startsWith('Cluster') ? {} : { namespace: 'team' }
        await cluster.objects.create({
          ...manifest,
          metadata: { ...manifest.metadata, ...namespace },
        })
      }
      const may = async (
        user: string,
        group: string,
        resource: string,
        verb: string,
        namespace = 'team',
        name = '',
      ) => {
        const config = new KubeConfig()
        config.loadFromFile(
          await cluster.plane.kubeconfigFor(`system:serviceaccount:team:${user}`, [
            'system:serviceaccounts',
            'system:authenticated',
          ]),
        )
        const [kind = '', subresource] = resource.split('/')
        const { status } = await config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({
          body: {
            spec: {
              resourceAttributes: {
                group,
                resource: kind,
                verb,
                namespace,
                name,
                ...(subresource && { subresource }),
              },
            },
          },
        })
        return status?.allowed
      }
      const controller = 't-temper-controller'
      const needed: [string, string, string, string?, string?][] = [
        ['temper.dev', 'finetunes', 'list'],
        ['temper.dev', 'finetunes', 'watch'],
        ['temper.dev', 'finetunes', 'patch'],
        ['temper.dev', 'finetunes/status', 'patch'],
        ['', 'events', 'create'],
        ['coordination.k8s.io', 'leases', 'create'],
        ['coordination.k8s.io', 'leases', 'get', 'team', controller],
        ['coordination.k8s.io', 'leases', 'update', 'team', controller],
        ['', 'pods', 'list'],
        ['', 'pods', 'patch'],
        ['', 'nodes', 'list', ''],
      ]
      for (const call of needed)
        assert.equal(await may(controller, ...call), true, `${call.join(' ')} is needed`)
      const refused: [string, string, string, string?, string?][] = [
        ['temper.dev', 'finetunes', 'delete'],
        ['temper.dev', 'finetunes', 'create'],
        ['temper.dev', 'finetunes', 'list', 'default'],
        ['', 'secrets', 'get'],
        ['', 'pods', 'delete'],
        ['', 'pods', 'create'],
        ['', 'pods/exec', 'create'],
        ['', 'nodes', 'patch', ''],
        ['coordination.k8s.io', 'leases', 'update', 'team', 'another'],
        ['apps', 'deployments', 'patch'],
      ]
      for (const call of refused)
        assert.equal(await may(controller, ...call), false, `${call.join(' ')} is not`)
      for (const call of needed)
        assert.equal(await may('t-temper-worker', ...call), false, `a worker: ${call.join(' ')}`)
    })
  })
})
