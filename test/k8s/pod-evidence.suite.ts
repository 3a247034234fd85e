import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Context } from '@temporalio/activity'
import { CoreV1Api, type V1ContainerState } from '@kubernetes/client-node'
import type { TrainInput } from '../../src/stages/train.ts'
import { TemporalJobs } from '../../k8s/temporal-jobs.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { playedStages } from './played-stages.ts'
import { fineTune, type TestCluster } from './test-cluster.ts'
import { controllerParts, startController, untilResource } from './test-controller.ts'

// Pods and nodes as objects of a real API server, without kubelets: their status is written by the test. A day's heartbeat
// timeout: whatever ends an attempt here is the controller's report.

const POD = 'trainer-0'
const NODE = 'gpu-node'

export function podEvidenceSuite(shared: () => TestCluster): void {
  describe('the reader of pods and nodes', () => {
    let cluster: TestCluster
    let core: CoreV1Api
    let worker: TestWorker
    let stop: () => Promise<void>
    let begun = Promise.withResolvers<void>()
    const attempts: TrainInput[] = []
    const hang = Promise.withResolvers<never>()
    hang.promise.catch(() => {})

    before(async () => {
      cluster = shared()
      core = cluster.config.makeApiClient(CoreV1Api)
      const stages = {
        ...playedStages,
        async train(input: TrainInput) {
          attempts.push(input)
          if (attempts.length > 1) return playedStages.train()
          Context.current().heartbeat({
            phase: 'train',
            done: 1,
            total: 4,
            unsaved: { steps: 1, seconds: 2 },
          })
          begun.resolve()
          return hang.promise
        },
      }
      worker = await startTestWorker(CONTROL_QUEUE, stages, { identity: `1@${POD}` })
      const { client, temporal } = worker
      const jobs = new TemporalJobs({ client, address: temporal.address, heartbeatSeconds: 86_400 })
      await core.createNode({ body: { metadata: { name: NODE } } })
      await nodeStatus('True')
      // The API server taints new nodes as not ready, and without controllers nobody takes that away.
      const node = await core.readNode({ name: NODE })
      await core.replaceNode({ name: NODE, body: Object.assign(node, { spec: {} }) })
      stop = startController(controllerParts(cluster, jobs))
    })
    after(async () => {
      await stop?.()
      hang.reject(new Error('the test is over'))
      await worker?.stop()
    })

    const nodeStatus = async (
      ready: string,
      others: { type: string; status: string; message: string }[] = [],
    ) => {
      const node = await core.readNode({ name: NODE })
      const conditions = [{ type: 'Ready', status: ready, reason: 'Test' }, ...others]
      await core.replaceNodeStatus({ name: NODE, body: Object.assign(node, { status: { conditions } }) })
    }
    /** A pod of a worker, as if a kubelet ran it. */
    async function startPod(): Promise<void> {
      await core.createNamespacedPod({
        namespace: 'default',
        body: {
          metadata: { name: POD, labels: { role: 'worker' } },
          spec: {
            nodeName: NODE,
            containers: [{ name: 'worker', image: 'x' }],
            terminationGracePeriodSeconds: 0,
          },
        },
      })
      await container({ running: {} }, 0)
    }
    async function container(state: V1ContainerState, restartCount: number, conditions: object[] = []) {
      const pod = await core.readNamespacedPod({ name: POD, namespace: 'default' })
      const status = { name: 'worker', image: 'x', imageID: 'x', ready: true, restartCount, state }
      await core.replaceNamespacedPodStatus({
        name: POD,
        namespace: 'default',
        body: Object.assign(pod, {
          status: { phase: 'Running', conditions: conditions as never, containerStatuses: [status] },
        }),
      })
    }
    /** A FineTune whose first attempt at training begins and never ends by itself. */
    async function trainOnPod(name: string): Promise<void> {
      attempts.length = 0
      begun = Promise.withResolvers()
      await startPod()
      await cluster.objects.create(fineTune(name))
      await begun.promise
      // From now on the controller knows where it runs.
      await untilResource(cluster, name, ({ status }) => status?.progress?.percent === 25)
    }
    async function recoveryOf(name: string) {
      const { status } = await untilResource(cluster, name, ({ status }) => status?.stage === 'complete')
      assert.equal(status?.recoveries?.length, 1)
      return status.recoveries[0]
    }
    const removePod = () =>
      core.deleteNamespacedPod({ name: POD, namespace: 'default', gracePeriodSeconds: 0 })

    test('takes a container killed for memory for what it is, and the next attempt is smaller', async () => {
      await trainOnPod('oom')
      const finishedAt = new Date()
      await container({ terminated: { reason: 'OOMKilled', exitCode: 137, finishedAt } }, 1)
      const recovery = await recoveryOf('oom')
      assert.partialDeepStrictEqual(recovery, { kind: 'outOfMemory', stepsLost: 1, gpuSecondsLost: '2' })
      assert.ok(recovery)
      assert.match(recovery.evidence, /container: OOMKilled, exit code 137; pod trainer-0 on node gpu-node/)
      assert.equal(attempts[1]?.relief?.microBatchRows, 1)
      await removePod()
    })

    test('knows an eviction from a pod that somebody has deleted', async () => {
      await trainOnPod('evicted')
      const message = 'Eviction API: evicting'
      await container({ running: {} }, 0, [
        { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message },
      ])
      await removePod()
      assert.equal((await recoveryOf('evicted'))?.kind, 'preempted')

      await trainOnPod('deleted-pod')
      await removePod()
      const recovery = await recoveryOf('deleted-pod')
      assert.equal(recovery?.kind, 'lost')
      assert.match(recovery.evidence, /the pod is gone/)
    })

    test('reads the Xid of a GPU from its node, and says which node to avoid', async () => {
      await trainOnPod('xid')
      // As NVSentinel writes it.
      await nodeStatus('True', [
        { type: 'GpuXidError', status: 'True', message: 'ErrorCode:79 GPU:0 GPU has fallen off the bus' },
      ])
      await removePod()
      const recovery = await recoveryOf('xid')
      assert.equal(recovery?.kind, 'hardware')
      assert.match(recovery.evidence, /NVIDIA Xid 79: restartMachine/)
      const { uid } = (await untilResource(cluster, 'xid', () => true)).metadata
      const view = await new TemporalJobs({
        client: worker.client,
        address: worker.temporal.address,
        heartbeatSeconds: 1,
      }).find(uid)
      assert.equal(view?.stages.find(({ name }) => name === 'train')?.recoveries?.[0]?.avoidNode, NODE)
      assert.equal((await core.readNode({ name: NODE })).spec?.unschedulable, true, 'cordoned')
      await nodeStatus('True')
    })

    test('does not give up a worker whose node is not ready: only its heartbeat says that it is dead', async () => {
      await trainOnPod('unready')
      await nodeStatus('Unknown')
      // Told, and kept for the day that the heartbeat is missed; then the pod goes.
      await removePod()
      const recovery = await recoveryOf('unready')
      assert.equal(recovery?.kind, 'nodeLost')
      assert.match(recovery.evidence, /node condition Ready=Unknown/)
      await nodeStatus('True')
    })
  })
}
