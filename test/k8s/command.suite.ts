import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { AppsV1Api, CoreV1Api } from '@kubernetes/client-node'
import { stringify } from 'yaml'
import { jobIdOf } from '../../jobs/job-id.ts'
import { TemporalJobs } from '../../k8s/temporal-jobs.ts'
import { JobLog } from '../../src/stages/job-log.ts'
import { openStore } from '../../src/store/open-store.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { playedStages } from './played-stages.ts'
import { createNamespace, fineTune, type TestCluster } from './test-cluster.ts'
import { controllerParts, readFineTune, startController } from './test-controller.ts'

const launcher = fileURLToPath(new URL('../../bin/temper.js', import.meta.url))
const NAMESPACE = 'people'

export function commandSuite(shared: () => TestCluster): void {
  describe('temper with a kubeconfig', () => {
    let cluster: TestCluster
    let worker: TestWorker
    let stop: () => Promise<void>
    const folder = mkdtempSync(join(tmpdir(), 'temper-on-cluster-'))
    const store = pathToFileURL(join(folder, 'store')).href

    before(async () => {
      cluster = shared()
      await createNamespace(cluster, NAMESPACE)
      worker = await startTestWorker(CONTROL_QUEUE, playedStages)
      const { client, temporal } = worker
      const jobs = new TemporalJobs({ client, address: temporal.address, heartbeatSeconds: 5 })
      stop = startController(controllerParts(cluster, jobs, { namespaces: [NAMESPACE] }))
    })
    after(async () => {
      await stop?.()
      await worker?.stop()
      rmSync(folder, { recursive: true })
    })

    async function temper(
      ...args: string[]
    ): Promise<{ code: number | null; stdout: string; stderr: string }> {
      const { TEMPORAL_ADDRESS: _, ...environment } = process.env
      const child = spawn(process.execPath, [launcher, ...args, '--namespace', NAMESPACE], {
        cwd: folder,
        env: {
          ...environment,
          KUBECONFIG: cluster.plane.kubeconfig,
          TEMPER_HOME: join(folder, 'state'),
          TEMPER_STORE: store,
        },
      })
      let [stdout, stderr] = ['', '']
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
      const { promise, resolve } = Promise.withResolvers<number | null>()
      child.on('close', resolve)
      return { code: await promise, stdout, stderr }
    }
    function write(name: string, spec: object = {}): string {
      const { metadata: _, spec: base, ...document } = fineTune(name)
      const file = join(folder, `${name}.yaml`)
      writeFileSync(file, stringify({ ...document, metadata: { name }, spec: { ...base, ...spec } }))
      return file
    }

    test('run --on-cluster applies a FineTune and follows it to its end', async () => {
      const { code, stdout, stderr } = await temper('run', write('followed'), '--on-cluster')
      assert.equal(code, 0, stderr)
      assert.match(stdout, /FineTune people\/followed is applied/)
      assert.match(stdout, /train {5}done/)
      assert.match(stdout, /Published x@1\./)
    })

    test('says what the API server refuses, and what the controller finds wrong', async () => {
      const refused = await temper('run', write('refused', { train: { r: 0 } }), '--on-cluster')
      assert.equal(refused.code, 2)
      assert.match(refused.stderr, /spec\.train\.r/)
      const template = { data: { train: ['a.jsonl'], template: 'none' } }
      const wrong = await temper('run', write('wrong', template), '--on-cluster')
      assert.equal(wrong.code, 1)
      assert.match(wrong.stderr, /spec\.data\.template/)
      const absent = await temper('logs', 'absent', '--on-cluster')
      assert.equal(absent.code, 2)
      assert.match(absent.stderr, /finetunes\.temper\.dev "absent" not found/)
    })

    test('logs --on-cluster reads the store, whatever became of the pod', async () => {
      const { metadata } = await readFineTune(cluster, 'followed', NAMESPACE)
      const log = new JobLog(await openStore(store), {
        jobId: jobIdOf(metadata.uid),
        stage: 'train',
        attempt: 'a1-x',
        trace: undefined,
        hear: undefined,
      })
      log.write({ level: 'info', message: 'checkpoint saved', fields: { step: 4 } })
      await log.close()
      const { code, stdout, stderr } = await temper('logs', 'followed', '--on-cluster', '--follow')
      assert.equal(code, 0, stderr)
      assert.match(stdout, /train {4}checkpoint saved step=4/)
    })

    test('fleet says what there is, what runs where, and what waits and why', async () => {
      const labels = { 'temper.dev/fleet': 'a100', run: 'x' }
      const limits = { 'nvidia.com/gpu': '2' }
      const containers = [
        {
          name: 'worker',
          image: 'x',
          env: [{ name: 'TEMPER_QUEUES', value: 'finetune-gpu-a100' }],
          resources: { limits },
        },
      ]
      await cluster.config.makeApiClient(AppsV1Api).createNamespacedDeployment({
        namespace: NAMESPACE,
        body: {
          metadata: { name: 'fleet', labels },
          spec: {
            replicas: 1,
            selector: { matchLabels: labels },
            template: { metadata: { labels }, spec: { nodeSelector: { pool: 'a100' }, containers } },
          },
        },
      })
      const core = cluster.config.makeApiClient(CoreV1Api)
      const node = await core.createNode({ body: { metadata: { name: 'gpus' } } })
      await core.replaceNodeStatus({
        name: 'gpus',
        body: Object.assign(node, {
          status: { allocatable: { 'nvidia.com/gpu': '4' }, conditions: [{ type: 'Ready', status: 'True' }] },
        }),
      })
      const pod = await core.createNamespacedPod({
        namespace: NAMESPACE,
        body: { metadata: { name: 'fleet-0', labels }, spec: { nodeName: 'gpus', containers } },
      })
      await core.replaceNamespacedPodStatus({
        name: 'fleet-0',
        namespace: NAMESPACE,
        body: Object.assign(pod, { status: { phase: 'Running' } }),
      })
      await temper('run', write('stopped', { suspend: true }), '--on-cluster', '--detach')
      const { code, stdout, stderr } = await temper('fleet')
      assert.equal(code, 0, stderr)
      assert.match(stdout, /a100 +0\/1 +nvidia\.com\/gpu=2 pool=a100 +finetune-gpu-a100/)
      assert.match(stdout, /gpus +ready +2\/4 nvidia\.com\/gpu +fleet-0/)
      assert.match(stdout, /stopped .*a100/)
      const { jobs } = JSON.parse((await temper('fleet', '--json')).stdout) as { jobs: { job: string }[] }
      assert(jobs.some(({ job }) => job === 'stopped'))
      assert(!jobs.some(({ job }) => job === 'followed'), 'what has ended neither runs nor waits')
    })
  })
}
