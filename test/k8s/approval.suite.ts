import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ApiException,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  loadAllYaml,
  PatchStrategy,
  RbacAuthorizationV1Api,
} from '@kubernetes/client-node'
import { answerJob } from '../../jobs/answer-job.ts'
import type { JobView } from '../../jobs/job-view.ts'
import { type FineTuneResource, WAITS_FOR_APPROVAL } from '../../k8s/fine-tune-resource.ts'
import type { Jobs } from '../../k8s/jobs.ts'
import { reconcile } from '../../k8s/reconcile.ts'
import { TemporalJobs } from '../../k8s/temporal-jobs.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { playedStages } from './played-stages.ts'
import { createNamespace, fineTune, type TestCluster } from './test-cluster.ts'
import {
  controllerParts,
  readFineTune,
  startController,
  untilCondition,
  untilGone,
  untilResource,
} from './test-controller.ts'

/** Where no controller looks. */
const ELSEWHERE = 'approvals'
const GUARDED = 'guarded-approvals'
type Policy = KubernetesObject & { metadata: { name: string }; spec: object }
const PUBLISH = { publish: { approval: 'required' } }
const APPROVED = { decision: 'approved', by: 'anna', comment: 'reads well' }

// A real API server, a real Temporal server and the real workflows, as in controller.suite.ts.

export function approvalSuite(shared: () => TestCluster): void {
  // At once, since each of them waits for looks most of its time; the controller is one.
  describe('a FineTune whose publication wants approval', { concurrency: true }, () => {
    let cluster: TestCluster
    let worker: TestWorker
    let jobs: TemporalJobs
    let stop: () => Promise<void>

    before(async () => {
      cluster = shared()
      worker = await startTestWorker(CONTROL_QUEUE, playedStages)
      const { client, temporal } = worker
      jobs = new TemporalJobs({ client, address: temporal.address, heartbeatSeconds: 5 })
      await createNamespace(cluster, ELSEWHERE)
      stop = startController(controllerParts(cluster, jobs))
    })
    after(async () => {
      await stop?.()
      await worker?.stop()
    })

    const create = (name: string, spec: Record<string, unknown> = PUBLISH, namespace = 'default') =>
      cluster.objects.create(fineTune(name, spec, namespace))
    const patch = (name: string, spec: object, objects = cluster.objects, namespace = 'default') =>
      objects.patch(
        { ...fineTune(name, {}, namespace), spec } as unknown as FineTuneResource,
        undefined,
        undefined,
        'test',
        undefined,
        PatchStrategy.MergePatch,
      )
    const untilAsking = (name: string) =>
      untilCondition(
        cluster,
        name,
        'Waiting',
        ({ status, reason }) => status === 'True' && reason === WAITS_FOR_APPROVAL,
      )
    const eventsOf = async (name: string) => {
      const { items } = await cluster.config
        .makeApiClient(CoreV1Api)
        .listNamespacedEvent({ namespace: 'default' })
      return items
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ type, reason, message }) => `${type} ${reason}: ${message}`)
    }
    async function refusal(attempt: Promise<unknown>, code = 422): Promise<string> {
      const error = await attempt.then(
        () => assert.fail('it should have been refused'),
        (rejection: unknown) => rejection,
      )
      assert(error instanceof ApiException, String(error))
      assert.equal(error.code, code, String(error.body))
      return (JSON.parse(error.body as string) as { message: string }).message
    }

    test('waits, says so and how to answer, and publishes once the spec says approved', async () => {
      await create('asks')
      const { status } = await untilAsking('asks')
      assert.equal(status?.stage, 'publish')
      const publish = status.stages?.at(-1)
      assert.deepEqual([publish?.name, publish?.state, publish?.attempts], ['publish', 'asking', 0])
      assert.equal(publish?.message, `waiting for approval since ${status.approval?.since}`)
      const message = status.conditions.find(({ type }) => type === 'Waiting')?.message ?? ''
      assert.match(message, /evaluation loss 2\.000 before, 1\.000 after\. Nothing runs until spec\.approval/)
      assert.equal(status.published, undefined)
      while (!(await eventsOf('asks')).includes(`Normal ${WAITS_FOR_APPROVAL}: ${message}`)) await sleep(50)
      assert(!(await eventsOf('asks')).includes('Normal StageStarted: Stage publish runs.'))

      // As the message says it; another controller than the one that saw it wait.
      await stop()
      stop = startController(controllerParts(cluster, jobs))
      await patch('asks', { approval: APPROVED })
      const done = await untilCondition(cluster, 'asks', 'Complete')
      const { since, time, passedOnTime, ...approval } = done.status?.approval ?? { since: '' }
      assert.deepEqual(approval, APPROVED)
      assert.equal(since, status.approval?.since)
      assert(
        Date.parse(since) <= Date.parse(passedOnTime ?? '') && Date.parse(since) <= Date.parse(time ?? ''),
      )
      const waiting = done.status?.conditions.find(({ type }) => type === 'Waiting')
      assert.equal(waiting?.status, 'False')
      assert.equal(done.status?.published, 'x@1')
      assert.match(
        await refusal(patch('asks', { approval: { decision: 'rejected' } })),
        /the job was answered, see status\.approval/,
      )
    })

    test('takes an answer that was there before the job asks', async () => {
      await create('foreseen', { ...PUBLISH, approval: APPROVED })
      const { status } = await untilCondition(cluster, 'foreseen', 'Complete')
      assert.equal(status?.approval?.by, 'anna')
    })

    test('ends as rejected, with what it has made', async () => {
      await create('refused')
      await untilAsking('refused')
      await patch('refused', { approval: { decision: 'rejected', comment: 'too long' } })
      const { status } = await untilCondition(cluster, 'refused', 'Failed')
      const failed = status?.conditions.find(({ type }) => type === 'Failed')
      assert.deepEqual(
        [failed?.reason, failed?.message],
        ['Rejected', 'The publication was rejected: too long. What the stages have made stays.'],
      )
      assert.equal(status?.stage, 'rejected')
      assert.equal(status?.stages?.at(-1)?.message, 'rejected: too long')
      assert(status?.artifacts?.some(({ stage }) => stage === 'merge'))
      assert.equal(status?.published, undefined)
    })

    test('suspended while it waits, it is answered when it goes on; deleted, it goes', async () => {
      await create('rests')
      await untilAsking('rests')
      await patch('rests', { suspend: true })
      const { metadata } = await untilCondition(cluster, 'rests', 'Suspended', (one) =>
        one.message.startsWith('Nothing runs'),
      )
      await patch('rests', { approval: APPROVED })
      const generation = (await readFineTune(cluster, 'rests')).metadata.generation ?? 0
      await untilResource(cluster, 'rests', ({ status }) => status?.observedGeneration === generation)
      assert.equal((await jobs.find(metadata.uid))?.stages.at(-1)?.approval?.decision, undefined)
      await patch('rests', { suspend: false })
      await untilCondition(cluster, 'rests', 'Complete')

      const { metadata: gone } = await create('goes')
      await untilAsking('goes')
      await cluster.objects.delete(fineTune('goes'))
      await untilGone(cluster, 'goes')
      assert.equal((await jobs.find((gone as { uid?: string }).uid ?? ''))?.state, 'cancelled')
    })

    test('is answered as well by who reaches Temporal', async () => {
      await create('outside')
      const { metadata } = await untilAsking('outside')
      await answerJob(worker.client, metadata.uid, 'approved', { by: 'ben' })
      const { status } = await untilCondition(cluster, 'outside', 'Complete')
      assert.deepEqual([status?.approval?.by, status?.approval?.passedOnTime], ['ben', undefined])
    })

    test('passes the answer on until the job has heard, seldomer and seldomer', async () => {
      await create('deaf', { ...PUBLISH, approval: APPROVED }, ELSEWHERE)
      const askedAt = Date.now()
      const view: JobView = {
        name: 'deaf',
        jobId: 'finetune-deaf',
        runId: 'r',
        state: 'running',
        startedAt: new Date(askedAt),
        stages: [{ name: 'publish', state: 'asking', attempts: 0, approval: { askedAt } }],
        isPaused: false,
        isWorkedOn: false,
      }
      const told: unknown[] = []
      const unexpected = () => Promise.reject(new Error('not to be called'))
      const fake: Jobs = {
        find: () => Promise.resolve(structuredClone(view)),
        answer: (_uid, answer) => Promise.resolve(void told.push(answer)),
        start: unexpected,
        cancel: unexpected,
        abandon: unexpected,
        pause: unexpected,
        resume: unexpected,
        setPriority: unexpected,
        report: unexpected,
      }
      // Whole seconds, as Kubernetes writes times.
      let now = Math.ceil(askedAt / 1000) * 1000
      const look = async () =>
        reconcile(await readFineTune(cluster, 'deaf', ELSEWHERE), {
          ...controllerParts(cluster, fake, { now: () => new Date(now) }),
          seenOn: () => {},
          reporter: undefined,
          cordon: () => Promise.resolve(),
          nodes: () => [],
          pods: () => [],
          pollMilliseconds: () => 3_000,
        })
      const waits: unknown[] = []
      for (const seconds of [0, 100, 10_000]) {
        now += seconds * 1000
        waits.push(await look())
      }
      assert.deepEqual(waits, [1_000, 50_000, 300_000])
      assert.deepEqual(told, [APPROVED, APPROVED, APPROVED])
      view.stages[0] = { name: 'publish', state: 'running', attempts: 1, approval: { askedAt, decision: { answer: 'approved', at: now } } } // prettier-ignore
      assert.equal(await look(), 3_000)
      assert.equal(told.length, 3, 'it has heard')
    })

    test('the API server takes an answer only where one is asked for, and only of one shape', async () => {
      assert.match(await refusal(create('unasked', { approval: APPROVED })), /this job asks nobody/)
      assert.match(
        await refusal(create('unasked', { publish: { approval: 'none' }, approval: APPROVED })),
        /this job asks nobody/,
      )
      const shapes = { decision: 'yes', by: 'x'.repeat(101), comment: 'x'.repeat(1001) }
      const message = await refusal(create('shapes', { ...PUBLISH, approval: shapes }))
      for (const field of ['decision', 'by', 'comment'])
        assert.match(message, new RegExp(`approval\\.${field}`))
      assert.match(
        await refusal(create('shapes', { ...PUBLISH, approval: {} })),
        /approval\.decision: Required/,
      )
    })

    test('with the policy of the examples only the group of the approvers may answer', async () => {
      const text = await readFile(new URL('../../examples/approval-policy.yaml', import.meta.url), 'utf8')
      const policies = loadAllYaml(text) as [Policy, Policy]
      await createNamespace(cluster, GUARDED)
      const rbac = cluster.config.makeApiClient(RbacAuthorizationV1Api)
      await rbac.createClusterRole({
        body: {
          metadata: { name: 'test-fine-tunes' },
          rules: [{ apiGroups: ['temper.dev'], resources: ['finetunes'], verbs: ['*'] }],
        },
      })
      await rbac.createClusterRoleBinding({
        body: {
          metadata: { name: 'test-fine-tunes' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'test-fine-tunes' },
          subjects: ['eve', 'anna'].map((name) => ({ kind: 'User', name })),
        },
      })
      const as = async (user: string, groups: string[] = []) => {
        const config = new KubeConfig()
        config.loadFromFile(await cluster.plane.kubeconfigFor(user, groups))
        return KubernetesObjectApi.makeApiClient(config)
      }
      const [eve, anna] = [await as('eve'), await as('anna', ['model-approvers'])]
      const guarded = (spec: object, objects: KubernetesObjectApi) => patch('guarded', spec, objects, GUARDED)
      // Of this namespace alone: the other tests go on meanwhile.
      const [policy, binding] = policies
      const matchResources = {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': GUARDED } },
      }
      await cluster.objects.create(policy)
      await cluster.objects.create({ ...binding, spec: { ...binding.spec, matchResources } })
      try {
        await eve.create(fineTune('guarded', PUBLISH, GUARDED))
        // A policy is enforced a moment after it is there.
        const forbidden = 'only members of model-approvers may set spec.approval'
        for (let tries = 0; ; tries++) {
          const said = await guarded({ approval: APPROVED }, eve).then(
            () => 'taken',
            (error: unknown) => String((error as ApiException<unknown>).body),
          )
          if (said.includes(forbidden)) break
          assert(tries < 300, said)
          await guarded({ approval: null }, anna)
          await sleep(100)
        }
        const another = fineTune('guarded-2', { ...PUBLISH, approval: APPROVED }, GUARDED)
        assert.match(await refusal(eve.create(another), 403), new RegExp(forbidden))
        await guarded({ suspend: true }, eve)
        await guarded({ approval: APPROVED }, anna)
        await guarded({ suspend: false }, eve)
        assert.match(await refusal(guarded({ approval: null }, eve), 403), new RegExp(forbidden))
      } finally {
        for (const policy of policies) await cluster.objects.delete(policy)
      }
    })
  })
}
