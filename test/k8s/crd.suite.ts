import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { ApiException, CustomObjectsApi, PatchStrategy } from '@kubernetes/client-node'
import type { FineTuneResource } from '../../k8s/fine-tune-resource.ts'
import { fineTune as inDefault, createNamespace, type TestCluster } from './test-cluster.ts'

const NAMESPACE = 'definition'
const fineTune = (name: string, spec?: Record<string, unknown>) => inDefault(name, spec, NAMESPACE)

export function crdSuite(shared: () => TestCluster): void {
  describe('FineTune in a real API server', () => {
    let cluster: TestCluster
    before(async () => {
      cluster = shared()
      await createNamespace(cluster, NAMESPACE)
    })

    const create = (name: string, spec?: Record<string, unknown>) =>
      cluster.objects.create(fineTune(name, spec), undefined, undefined, 'test')

    async function refusal(attempt: Promise<unknown>): Promise<string> {
      const error = await attempt.then(
        () => assert.fail('it should have been refused'),
        (rejection: unknown) => rejection,
      )
      assert(error instanceof ApiException, String(error))
      assert.equal(error.code, 422)
      return (JSON.parse(error.body as string) as { message: string }).message
    }

    test('is taken with its required fields and with all kinds of values', async () => {
      await create('least')
      await create('more', {
        suspend: true,
        fleet: 'a100',
        train: { targetModules: ['q_proj'], threads: 2, learningRate: 1e-4, warmupSteps: 1, maxSteps: 5 },
        data: {
          train: ['a.jsonl', 'b.jsonl'],
          template: { jinja: '{{ messages }}' },
          columns: { prompt: 'q' },
        },
      })
      const more = await cluster.objects.read<FineTuneResource & { spec: { data: { template?: unknown } } }>({
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTune',
        metadata: { name: 'more', namespace: NAMESPACE },
      })
      assert.deepEqual(more.spec.data.template, { jinja: '{{ messages }}' })
    })

    test('is refused with every error at once, fields and rules between them', async () => {
      const fields = await refusal(
        create('wrong', {
          train: { learningRate: 2, r: 0, threads: 'many', lrSchedulerType: 'cos' },
          data: { train: [] },
        }),
      )
      for (const name of ['learningRate', 'train.r:', 'lrSchedulerType', 'data.train'])
        assert.match(fields, new RegExp(name))
      const rules = await refusal(
        create('wrong', {
          model: { source: '/models/tiny', revision: 'main' },
          train: { warmupSteps: 5, maxSteps: 5, threads: 0 },
          data: { train: ['a'], columns: { prompt: 'a', output: 'b' } },
        }),
      )
      for (const name of ['revision is only', 'warmupSteps must be', 'columns must', 'must be auto or'])
        assert.match(rules, new RegExp(name))
    })

    test('may change until it was started; then only suspend', async () => {
      await create('fixed')
      const custom = cluster.config.makeApiClient(CustomObjectsApi)
      const where = {
        group: 'temper.dev',
        version: 'v1alpha1',
        namespace: NAMESPACE,
        plural: 'finetunes',
        name: 'fixed',
      }
      const patch = (spec: object) =>
        cluster.objects.patch(
          { ...fineTune('fixed'), spec } as never,
          undefined,
          undefined,
          'test',
          undefined,
          PatchStrategy.MergePatch,
        )
      await patch({ train: { r: 4 } })
      const current = (await custom.getNamespacedCustomObject(where)) as { status?: object }
      await custom.replaceNamespacedCustomObjectStatus({
        ...where,
        body: { ...current, status: { workflowId: 'finetune-x' } },
      })
      assert.match(
        await refusal(patch({ train: { r: 8 } })),
        /the job was started: only suspend, priority, budget and approval may change/,
      )
      assert.match(await refusal(patch({ fleet: 'other' })), /the job was started/)
      await patch({ suspend: true, priority: { priorityKey: 1 }, budget: { gpuSeconds: 10 } })
    })
  })
}
