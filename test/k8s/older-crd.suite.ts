import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { V1CustomResourceDefinition } from '@kubernetes/client-node'
import type { JobView } from '../../jobs/job-view.ts'
import type { Jobs } from '../../k8s/jobs.ts'
import { fineTune, type TestCluster } from './test-cluster.ts'
import { controllerParts, startController, untilResource } from './test-controller.ts'

const CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'finetunes.temper.dev' },
}

/** The last one: it changes the definition. */
export function olderCrdSuite(shared: () => TestCluster): void {
  describe('a CRD that is older than the controller', () => {
    let cluster: TestCluster
    let stop: (() => Promise<void>) | undefined
    before(async () => {
      cluster = shared()
      const crd = await cluster.objects.read<V1CustomResourceDefinition>(CRD)
      const [version] = crd.spec.versions
      const status = version?.schema?.openAPIV3Schema?.properties?.['status']
      delete status?.properties?.['worker']
      await cluster.objects.replace(crd)
      // The API server serves the new schema a moment later.
      await sleep(2_000)
    })

    after(() => stop?.())

    test('is said once, and nothing is written again and again for its sake', async () => {
      const view: JobView = {
        name: 'x',
        jobId: 'finetune-x',
        runId: 'r',
        state: 'running',
        startedAt: new Date(0),
        stages: [{ name: 'train', state: 'running', attempts: 1 }],
        isPaused: false,
        isWorkedOn: true,
        workerIdentity: '1@pod',
        workerSince: new Date(0),
      }
      const nothing = () => Promise.resolve()
      const jobs: Jobs = {
        find: () => Promise.resolve(structuredClone(view)),
        start: nothing,
        cancel: nothing,
        abandon: nothing,
        pause: nothing,
        resume: nothing,
        answer: nothing,
        setPriority: nothing,
        report: nothing,
      }
      // Its clock stands still: nothing is news.
      const now = new Date()
      const parts = controllerParts(cluster, jobs, { now: () => now })
      stop = startController(parts)
      await cluster.objects.create(fineTune('old'))
      const { metadata } = await untilResource(cluster, 'old', ({ status }) => status?.stage === 'train')
      const looks = parts.counters.reconciliations
      while (parts.counters.reconciliations < looks + 2) await sleep(50)
      await stop()
      const later = await untilResource(cluster, 'old', () => true)
      assert.equal(later.metadata.resourceVersion, metadata.resourceVersion)
      assert.equal(parts.lines.filter((line) => line.includes('does not know status.worker')).length, 1)
    })
  })
}
