import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApplicationFailure, CancelledFailure, Context, heartbeat } from '@temporalio/activity'
import { Client, Connection } from '@temporalio/client'
import { CoreV1Api, PatchStrategy, type V1Pod } from '@kubernetes/client-node'
import { jobIdOf } from '../../jobs/job-id.ts'
import { BusyPods, DELETION_COST } from '../../k8s/busy-pods.ts'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { reconcile } from '../../k8s/reconcile.ts'
import { TemporalJobs } from '../../k8s/temporal-jobs.ts'
import { trainingWorkflowId } from '../../workflows/job.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { playedStages } from './played-stages.ts'
import { createNamespace, fineTune, type TestCluster } from './test-cluster.ts'
import {
  FLEET,
  controllerParts,
  readFineTune,
  startController,
  untilCondition,
  untilGone,
  untilResource,
} from './test-controller.ts'

// A real API server, a real Temporal server and the real workflows. The stages are played: they are tested elsewhere.

export function controllerSuite(shared: () => TestCluster): void {
  describe('the controller', () => {
    let cluster: TestCluster
    let worker: TestWorker
    let jobs: TemporalJobs
    let training: () => Promise<void> = () => Promise.resolve()
    let stop: (() => Promise<void>) | undefined

    before(async () => {
      cluster = shared()
      worker = await startTestWorker(CONTROL_QUEUE, {
        ...playedStages,
        train: async () => {
          await training()
          return playedStages.train()
        },
      })
      const { client, temporal } = worker
      jobs = new TemporalJobs({ client, address: temporal.address, heartbeatSeconds: 5 })
    })
    afterEach(async () => {
      await stop?.()
      stop = undefined
      training = () => Promise.resolve()
    })
    after(async () => {
      await worker?.stop()
    })

    const create = (name: string, spec?: Record<string, unknown>) =>
      cluster.objects.create(fineTune(name, spec))
    const patch = (name: string, spec: object) =>
      cluster.objects.patch(
        { ...fineTune(name), spec } as FineTuneResource,
        undefined,
        undefined,
        'test',
        undefined,
        PatchStrategy.MergePatch,
      )
    const remove = (name: string) => cluster.objects.delete(fineTune(name))
    const eventsOf = async (name: string) => {
      const { items } = await cluster.config
        .makeApiClient(CoreV1Api)
        .listNamespacedEvent({ namespace: 'default' })
      return items
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ reason, message }) => `${reason}: ${message}`)
    }
    /** A training that goes on until it is cancelled, once. */
    const trainUntilCancelled = () => {
      const begun = Promise.withResolvers<void>()
      training = async () => {
        begun.resolve()
        const beats = setInterval(
          () => heartbeat({ phase: 'train', done: 3, total: 12, loss: 2.25, secondsLeft: 9 }),
          50,
        )
        await Context.current().cancelled.catch(() => {})
        clearInterval(beats)
        training = () => Promise.resolve()
        throw new CancelledFailure('saved')
      }
      return begun.promise
    }

    test('takes a FineTune to its end and says so', async () => {
      stop = startController(controllerParts(cluster, jobs))
      await create('whole')
      const { status, metadata } = await untilCondition(cluster, 'whole', 'Complete')
      assert.equal(status?.workflowId, jobIdOf(metadata.uid))
      assert.equal(status.stage, 'complete')
      assert.equal(status.observedGeneration, metadata.generation)
      assert.deepEqual(new Set(status.stages?.map(({ state }) => state)), new Set(['done']))
      assert(status.artifacts?.some(({ stage, digest }) => stage === 'merge' && digest === 'digest-of-merge'))
      assert.equal(status.published, 'x@1')
      const [complete] = status.conditions
      assert.equal(complete?.reason, 'AllJobsCompleted')
      // Events follow the status that they tell of.
      while (!(await eventsOf('whole')).includes('AllJobsCompleted: Published x@1.')) await sleep(50)
    })

    test('says everything that is wrong with a spec in one condition, and goes on when it is mended', async () => {
      stop = startController(controllerParts(cluster, jobs))
      await create('wrong', {
        data: { train: ['a.jsonl'], eval: ['a.jsonl'], template: 'none' },
        fleet: 'a100',
      })
      const { status } = await untilCondition(cluster, 'wrong', 'Failed')
      const failed = status?.conditions.find(({ type }) => type === 'Failed')
      assert.equal(failed?.reason, 'InvalidSpec')
      assert.match(
        failed.message,
        /has 2 errors[^]*spec\.data\.template[^]*spec\.data\.eval\[0\]: is also in/,
      )
      assert.equal(status?.workflowId, undefined, 'nothing was started')
      await patch('wrong', { data: { train: ['a.jsonl'], eval: [], template: 'auto' }, fleet: 'unknown' })
      await untilCondition(cluster, 'wrong', 'Failed', ({ message }) =>
        message.includes('there is no fleet unknown; this installation has a100'),
      )
      await patch('wrong', { fleet: 'a100' })
      const mended = await untilCondition(cluster, 'wrong', 'Complete')
      assert.equal(mended.status?.conditions.find(({ type }) => type === 'Failed')?.status, 'False')
    })

    test('shows progress, suspends with a checkpoint, and goes on', async () => {
      stop = startController(controllerParts(cluster, jobs))
      const begun = trainUntilCancelled()
      await create('paused', { priority: { priorityKey: 4, fairnessKey: 'team' } })
      await begun
      const { status } = await untilResource(
        cluster,
        'paused',
        (resource) => resource.status?.progress?.percent === 25,
      )
      assert.equal(status?.stage, 'train')
      assert.equal(status.progress?.estimatedRemainingSeconds, 9)
      assert.deepEqual(status.progress.metrics[0], { name: 'loss', value: '2.250' })
      await patch('paused', { suspend: true })
      const suspended = await untilCondition(cluster, 'paused', 'Suspended', ({ message }) =>
        message.startsWith('Nothing runs'),
      )
      assert.equal(suspended.status?.stage, 'suspended')
      const jobId = jobIdOf(suspended.metadata.uid)
      const described = (id: string) => worker.client.workflow.getHandle(id).describe()
      assert.equal((await described(jobId)).status.name, 'RUNNING')
      const child = await described(trainingWorkflowId(jobId))
      assert.equal(child.status.name, 'CANCELLED', 'no training: it holds no machine')
      assert.equal(child.raw.workflowExecutionInfo?.priority?.priorityKey, 4)
      await patch('paused', { suspend: false, priority: { priorityKey: 1 } })
      const done = await untilCondition(cluster, 'paused', 'Complete')
      const again = await described(trainingWorkflowId(jobId))
      assert.equal(again.raw.workflowExecutionInfo?.priority?.fairnessKey, 'team')
      const condition = done.status?.conditions.find(({ type }) => type === 'Suspended')
      assert.deepEqual([condition?.status, condition?.reason], ['False', 'Resumed'])
    })

    test('pauses a job that has used up its budget, and lets it go on when that is raised', async () => {
      stop = startController(controllerParts(cluster, jobs, { fleets: [{ ...FLEET, pricePerHour: 7200 }] }))
      const begun = trainUntilCancelled()
      // Two GPUs at two an hour's second: half a second.
      await create('costly', { budget: { cost: 1 } })
      await begun
      const { status } = await untilCondition(cluster, 'costly', 'OverBudget')
      assert.match(
        status?.conditions.find(({ type }) => type === 'OverBudget')?.message ?? '',
        /training has cost [\d.]+ of 1 \(spec\.budget\.cost\)/,
      )
      await untilResource(cluster, 'costly', (resource) => resource.status?.stage === 'paused')
      await patch('costly', { budget: { cost: 1000, gpuSeconds: 1000, retries: 0 } })
      const done = await untilCondition(cluster, 'costly', 'Complete')
      assert.equal(done.status?.conditions.find(({ type }) => type === 'OverBudget')?.status, 'False')
      assert(Number(done.status?.spent?.gpuSeconds) > 0)
    })

    test('cancels the workflow before a deleted FineTune goes', async () => {
      stop = startController(controllerParts(cluster, jobs))
      const begun = trainUntilCancelled()
      const { metadata } = await create('deleted')
      await begun
      await remove('deleted')
      await untilGone(cluster, 'deleted')
      assert.equal((await jobs.find((metadata as { uid?: string }).uid ?? ''))?.state, 'cancelled')
    })

    test('fails a FineTune whose workflow somebody else has cancelled, and leaves it so', async () => {
      stop = startController(controllerParts(cluster, jobs))
      const begun = trainUntilCancelled()
      await create('foreign')
      await begun
      const { metadata } = await readFineTune(cluster, 'foreign')
      await worker.client.workflow.getHandle(jobIdOf(metadata.uid)).cancel()
      const { status } = await untilCondition(cluster, 'foreign', 'Failed')
      assert.equal(status?.conditions.find(({ type }) => type === 'Failed')?.reason, 'Cancelled')
    })

    test('says since when Temporal does not answer, and goes on when it does', async () => {
      const connection = Connection.lazy({ address: '127.0.0.1:1', connectTimeout: 1_000 })
      const lost = new TemporalJobs({
        client: new Client({ connection }),
        address: '127.0.0.1:1',
        heartbeatSeconds: 5,
      })
      const parts = controllerParts(cluster, lost)
      stop = startController(parts)
      await create('alone')
      const { status } = await untilCondition(
        cluster,
        'alone',
        'TemporalReachable',
        (one) => one.status === 'False',
      )
      const condition = status?.conditions.find(({ type }) => type === 'TemporalReachable')
      assert.match(condition?.message ?? '', /Temporal at 127\.0\.0\.1:1 does not answer/)
      assert(Date.parse(condition?.lastTransitionTime ?? '') > 0)
      await stop()
      await connection.close()
      stop = startController(controllerParts(cluster, jobs))
      await untilCondition(cluster, 'alone', 'Complete')
      assert.deepEqual(parts.lines, [], 'an outage is a condition, not a failure of the controller')
    })

    test('says after a minute that no node offers what the fleet wants', async () => {
      const core = cluster.config.makeApiClient(CoreV1Api)
      await core.createNode({ body: { metadata: { name: 'small', labels: { pool: 'a100' } } } })
      let late = 0
      const fleets = [{ ...FLEET, taskQueue: 'nobody-polls-this' }]
      const now = () => new Date(Date.now() + late)
      stop = startController(controllerParts(cluster, jobs, { fleets, now }))
      await create('waiting')
      await untilCondition(cluster, 'waiting', 'Waiting', ({ reason }) => reason === 'Starting')
      late = 61_000
      const { status } = await untilCondition(
        cluster,
        'waiting',
        'Waiting',
        ({ reason }) => reason === 'NoWorker',
      )
      assert.equal(
        status?.conditions.find(({ type }) => type === 'Waiting')?.message,
        'waiting: no node offers nvidia.com/gpu=2 with pool=a100',
      )
      await remove('waiting')
      await untilGone(cluster, 'waiting')
    })

    test('converges when it is killed before or after any of its writes', async () => {
      type Deadly = (call: { count: number; name: string; isOver: boolean }) => boolean
      const survive = async (name: string, isDeadly: Deadly, spec: Record<string, unknown> = {}) => {
        await create(name, spec)
        let count = 0
        let deaths = 0
        const dieWhere = (call: string, isOver: boolean): void => {
          if (deaths > 0 || !isDeadly({ count: count++, name: call, isOver })) return
          deaths++
          throw new Error(`killed ${isOver ? 'after' : 'before'}`)
        }
        const dying = <T extends object>(target: T): T =>
          new Proxy(target, {
            get(object, property) {
              const member: unknown = Reflect.get(object, property, object)
              if (typeof member !== 'function') return member
              return async (...args: unknown[]): Promise<unknown> => {
                dieWhere(String(property), false)
                const answer: unknown = await Reflect.apply(member, object, args)
                dieWhere(String(property), true)
                return answer
              }
            },
          })
        const parts = controllerParts(cluster, jobs)
        const mortal = {
          ...parts,
          seenOn: () => {},
          reporter: undefined,
          cordon: () => Promise.resolve(),
          nodes: () => [],
          pods: () => [],
          fineTunes: dying(parts.fineTunes),
          jobs: dying<typeof parts.jobs>(jobs),
          pollMilliseconds: () => 50,
        }
        for (;;) {
          const resource = await readFineTune(cluster, name)
          if (resource.status?.conditions.some(({ type }) => type === 'Complete')) break
          // A second life knows nothing of the first.
          const next = await reconcile(resource, mortal).catch((error: Error) => {
            assert.match(error.message, /killed/)
          })
          await sleep(Math.min(next ?? 0, 100))
        }
        const { metadata } = await readFineTune(cluster, name)
        const runs = worker.client.workflow.list({ query: `WorkflowId = '${jobIdOf(metadata.uid)}'` })
        let started = 0
        for await (const _ of runs) started++
        assert.equal(started, 1, `${name}: started once`)
        assert.equal(deaths, 1, name)
      }
      // Finalizer, two writes, the start and the looks between: the calls that every life has, before and after each.
      // And around the answer of a person, which only a job that asks needs.
      const asks = {
        publish: { approval: 'required' },
        approval: { decision: 'approved', by: 'anna' },
      }
      await Promise.all([
        ...Array.from({ length: 10 }, (_, kill) => survive(`killed-${kill}`, ({ count }) => count === kill)),
        ...[false, true].map((over) =>
          survive(
            `killed-${over ? 'after' : 'before'}-answer`,
            ({ name, isOver }) => name === 'answer' && isOver === over,
            asks,
          ),
        ),
      ])
    })

    test('says that the store does not answer, in the words of the worker that met it', async () => {
      stop = startController(controllerParts(cluster, jobs))
      const words = 'bucket b at http://s3:9000 failed 3 times while writing x: connect ECONNREFUSED'
      let attempts = 0
      training = () => {
        // Long enough for a look: the second wait is two seconds.
        if (attempts++ > 2) return Promise.resolve()
        throw ApplicationFailure.create({ type: 'transient', nonRetryable: true, message: words })
      }
      await create('storeless')
      const { status } = await untilCondition(
        cluster,
        'storeless',
        'StoreReachable',
        (one) => one.status === 'False',
      )
      const condition = status?.conditions.find(({ type }) => type === 'StoreReachable')
      assert.deepEqual([condition?.reason, condition?.message], ['StoreUnreachable', words])
      const done = await untilCondition(cluster, 'storeless', 'Complete')
      assert.equal(done.status?.conditions.find(({ type }) => type === 'StoreReachable')?.status, 'True')
    })

    test('leaves what another installation watches alone', async () => {
      await createNamespace(cluster, 'elsewhere')
      await cluster.objects.create(fineTune('foreigner', {}, 'elsewhere'))
      stop = startController(controllerParts(cluster, jobs))
      await create('own')
      await untilCondition(cluster, 'own', 'Complete')
      assert.equal((await readFineTune(cluster, 'foreigner', 'elsewhere')).status, undefined)
    })

    test('marks the pods that have work, and only those', async () => {
      const core = cluster.config.makeApiClient(CoreV1Api)
      const labels = { role: 'worker' }
      for (const name of ['busy', 'idle']) {
        await core.createNamespacedPod({
          namespace: 'default',
          body: {
            metadata: { name, labels, annotations: { [DELETION_COST]: '7' } },
            spec: { containers: [{ name: 'x', image: 'x' }] },
          },
        })
      }
      const pods = new BusyPods(cluster.config, 'default', () => found)
      let found: V1Pod[] = []
      const list = async () =>
        (found = (await core.listNamespacedPod({ namespace: 'default', labelSelector: 'role=worker' })).items)
      const costs = async () => {
        await list()
        await pods.sweep()
        const items = await list()
        return Object.fromEntries(
          items.map(({ metadata }) => [metadata?.name, metadata?.annotations?.[DELETION_COST]]),
        )
      }
      pods.seenOn('job', '17@busy')
      assert.deepEqual(await costs(), { busy: '1000', idle: undefined })
      pods.seenOn('job', undefined)
      assert.deepEqual(await costs(), { busy: undefined, idle: undefined })
    })
  })
}
