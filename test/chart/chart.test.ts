import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fineTuneCrdText } from '../../scripts/crd-text.ts'
import { valuesReference } from '../../scripts/values-reference.ts'
import { parseFleets } from '../../k8s/fleets.ts'
import { METRICS } from '../../worker/metrics.ts'
import { programsMissing } from '../support/cluster/binaries.ts'
import { gpuFleet, production } from './example-values.ts'
import { find, helm, render } from './render.ts'

const skip = process.env['CI'] ? false : ((await programsMissing(['helm'])) ?? false)

test("the chart's README is what its values say (node scripts/generate-values-reference.ts)", () => {
  const page = readFileSync(new URL('../../charts/temper/README.md', import.meta.url), 'utf8')
  assert.equal(page, valuesReference())
})

test("the chart's CRD is what the code generates (node scripts/generate-schema.ts)", () => {
  const file = new URL('../../charts/temper/crds/finetunes.temper.dev.yaml', import.meta.url)
  assert.equal(readFileSync(file, 'utf8'), fineTuneCrdText())
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
    const [backlog, running] = scaled['triggers'] as object[]
    // Backlog alone would let three running trainings shrink to one pod; the larger of both numbers counts.
    assert.deepEqual(running, {
      type: 'metrics-api',
      metadata: {
        url: `http://t-temper-controller.team.svc:8081/queues/${gpuFleet.taskQueue}`,
        valueLocation: 'running',
        targetValue: '1',
        activationTargetValue: '0',
      },
    })
    const stages = find(manifests, 'ScaledObject', 't-temper-stages').spec?.['triggers'] as object[]
    assert.equal(stages.length, 1)
    assert.deepEqual(backlog, {
      type: 'temporal',
      authenticationRef: { name: 't-temper-temporal' },
      metadata: {
        endpoint: 'temporal:7233',
        namespace: 'default',
        taskQueue: gpuFleet.taskQueue,
        queueTypes: 'workflow,activity',
        targetQueueSize: '1',
        activationTargetQueueSize: '0',
        enableTLS: 'true',
      },
    })
  })

  test('lets pods go soon from a node that is not heard of, and keeps the tolerations of a fleet', async () => {
    const spot = { key: 'spot', operator: 'Exists' }
    const manifests = await render({ ...production, fleets: [{ ...gpuFleet, tolerations: [spot] }] })
    const lost = ['unreachable', 'not-ready'].map((name) => ({
      key: `node.kubernetes.io/${name}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 5,
    }))
    const tolerations = (name: string) => find(manifests, 'Deployment', name).spec?.template?.spec.tolerations
    assert.deepEqual(tolerations('t-temper-a100'), [...lost, spot])
    assert.deepEqual(tolerations('t-temper-controller'), lost)
  })

  test('lets nothing in but probes and scrapes, and out only to what it was told of', async () => {
    const manifests = await render({
      temporal: { address: 'temporal.example.com:7234' },
      store: { uri: 's3://bucket/temper', endpoint: 'http://minio:9000' },
    })
    const ports = (name: string, way: 'ingress' | 'egress') => {
      const rules = find(manifests, 'NetworkPolicy', name).spec?.[way] as { ports: { port: unknown }[] }[]
      return rules.flatMap(({ ports }) => ports.map(({ port }) => port))
    }
    assert.deepEqual(ports('t-temper-worker', 'ingress'), ['health'])
    assert.deepEqual(ports('t-temper-worker', 'egress'), [53, 53, 443, 7234, 9000])
    assert.deepEqual(ports('t-temper-controller', 'egress'), [53, 53, 443, 6443, 7234])
    const { podSelector } = find(manifests, 'NetworkPolicy', 't-temper-worker').spec ?? {}
    const labels = (podSelector as { matchLabels: Record<string, string> }).matchLabels
    assert.equal(labels['app.kubernetes.io/component'], 'worker')
    const quickstart = find(
      await render({ quickstart: { enabled: true } }),
      'NetworkPolicy',
      't-temper-temporal',
    )
    assert.deepEqual(quickstart.spec?.['egress'], [])
    const none = await render({ ...production, networkPolicy: { enabled: false } })
    assert.equal(
      none.some(({ kind }) => kind === 'NetworkPolicy'),
      false,
    )
  })

  test("takes a team's own: identity for S3, secrets for images, variables, volumes, init containers", async () => {
    const role = { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/temper' }
    const own = {
      imagePullSecrets: [{ name: 'registry' }],
      serviceAccount: { annotations: role, podLabels: { 'azure.workload.identity/use': 'true' } },
      extraEnv: [{ name: 'OWN', value: 'yes' }],
      extraVolumes: [{ name: 'data', emptyDir: {} }],
      extraVolumeMounts: [{ name: 'data', mountPath: '/data' }],
      extraInitContainers: [{ name: 'fetch', image: 'fetch' }],
    }
    const manifests = await render({ ...production, ...own })
    assert.deepEqual(find(manifests, 'ServiceAccount', 't-temper-worker').metadata.annotations, role)
    const template = find(manifests, 'Deployment', 't-temper-cpu').spec?.template
    assert.equal(template?.metadata?.labels['azure.workload.identity/use'], 'true')
    const pod = template?.spec
    assert.deepEqual(pod?.imagePullSecrets, own.imagePullSecrets)
    assert.deepEqual(pod?.initContainers, own.extraInitContainers)
    assert.deepEqual(pod?.volumes?.at(-1), own.extraVolumes[0])
    const [worker] = pod?.containers ?? []
    assert.deepEqual(worker?.env.at(-1), own.extraEnv[0])
    assert.deepEqual(worker?.volumeMounts?.at(-1), own.extraVolumeMounts[0])
    // Without a secret for S3 nothing is in the way of the identity.
    assert.equal(JSON.stringify(pod).includes('secretRef'), false)
  })

  test('spreads a fleet over nodes, lets one pod go at a time, and starts pods anew when their settings change', async () => {
    const pod = (manifests: Awaited<ReturnType<typeof render>>) =>
      find(manifests, 'Deployment', 't-temper-cpu').spec?.template
    const before = await render(production)
    const [spread] = pod(before)?.spec.topologySpreadConstraints ?? []
    assert.partialDeepStrictEqual(spread, {
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
    })
    for (const name of ['t-temper-cpu', 't-temper-stages', 't-temper-controller'])
      assert.equal(find(before, 'PodDisruptionBudget', name).spec?.['maxUnavailable'], 1)
    const after = await render({ ...production, store: { uri: 's3://another/place' } })
    const checksum = (manifests: Awaited<ReturnType<typeof render>>) =>
      pod(manifests)?.metadata?.annotations['checksum/config']
    assert.notEqual(checksum(after), checksum(before))
  })

  test('has a runbook for each alert, and a dashboard and alerts of metrics that are there', async () => {
    const manifests = await render({
      ...production,
      monitoring: { podMonitor: true, alerts: true, dashboard: true },
    })
    const [group] = find(manifests, 'PrometheusRule', 't-temper').spec?.['groups'] as {
      rules: { alert: string; expr: string; annotations: { runbook: string } }[]
    }[]
    const page = readFileSync(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8')
    const texts: string[] = []
    for (const { alert, expr, annotations } of group?.rules ?? []) {
      assert.equal(annotations.runbook, `docs/kubernetes.md#${alert.toLowerCase()}`)
      assert.match(page, new RegExp(`^### ${alert}$`, 'm'))
      texts.push(expr)
    }
    assert(texts.length > 3)
    const dashboard = find(manifests, 'ConfigMap', 't-temper-dashboard').data?.['temper.json'] ?? ''
    const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] }
    texts.push(...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)))
    const controller = readFileSync(new URL('../../k8s/main.ts', import.meta.url), 'utf8')
    const workers = Object.values(METRICS).map(({ name }) => name)
    for (const text of texts) {
      for (const [name] of text.matchAll(/\b(?:temper|process)_\w+/g)) {
        const known = controller.includes(`${name}:`) || workers.some((one) => name.startsWith(one))
        assert(known, `${name} in ${text}`)
      }
    }
    const endpoints = find(manifests, 'PodMonitor', 't-temper').spec?.['podMetricsEndpoints']
    const ports = new Set(
      ['t-temper-cpu', 't-temper-controller'].flatMap((name) =>
        find(manifests, 'Deployment', name).spec?.template?.spec.containers.flatMap(({ ports }) =>
          ports.map(({ name }) => name),
        ),
      ),
    )
    for (const { port } of endpoints as { port: string }[]) assert(ports.has(port), port)
  })
})
