import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import {
  ApiException,
  CoreV1Api,
  CustomObjectsApi,
  type KubernetesObject,
  loadYaml,
  PatchStrategy,
  setHeaderOptions,
} from '@kubernetes/client-node'
import { ApiResources } from '../../k8s/api-resources.ts'
import { type FineTuneScheduleResource, SCHEDULE_PLURAL } from '../../k8s/fine-tune-schedule-resource.ts'
import { runScheduleController } from '../../k8s/schedule-controller.ts'
import { TemporalSchedules } from '../../k8s/temporal-schedules.ts'
import { fineTuneScheduleCrdText } from '../../scripts/crd-text.ts'
import type { NightlyJob } from '../../workflows/nightly-job.ts'
import { CONTROL_QUEUE } from '../../workflows/queues.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { missingApiServer, startTestCluster, type TestCluster } from './test-cluster.ts'
import { FLEET } from './test-controller.ts'

const skip = (await missingApiServer()) ?? false
const PLACE = { group: 'temper.dev', version: 'v1alpha1', namespace: 'default', plural: 'finetuneschedules' }

test("the chart's CRD is what the code generates (node scripts/generate-schema.ts)", () => {
  const file = new URL('../../charts/temper/crds/finetuneschedules.temper.dev.yaml', import.meta.url)
  assert.equal(readFileSync(file, 'utf8'), fineTuneScheduleCrdText())
})

describe('FineTuneSchedule, by a real API server and a real Temporal', { skip, timeout: 300_000 }, () => {
  let cluster: TestCluster
  let worker: TestWorker
  let custom: CustomObjectsApi
  let stop: () => Promise<void>
  const released: unknown[] = []
  const lines: string[] = []

  before(async () => {
    cluster = await startTestCluster()
    custom = cluster.config.makeApiClient(CustomObjectsApi)
    await cluster.objects.create(loadYaml<KubernetesObject>(fineTuneScheduleCrdText()))
    await eventually(() =>
      custom.listNamespacedCustomObject(PLACE).then(
        () => true,
        () => undefined,
      ),
    )
    // A night that finds nothing new: what the stages do is looked at elsewhere.
    worker = await startTestWorker(CONTROL_QUEUE, {
      resolveModel: () => Promise.resolve({ skipped: false, summary: {} }),
      lookForRows: () =>
        Promise.resolve({
          decision: { run: false, why: 'nothingNew', text: 'Nothing is new.' },
          counts: { read: 0 },
          chunks: 0,
        }),
      concludeNight: ({ record }: { record: object }) => Promise.resolve(record),
      releaseName: (input: { name: string; schedule: string }) => {
        released.push([input.name, input.schedule])
        return Promise.resolve()
      },
    })
    const now = () => new Date()
    const log = (line: string) => void lines.push(line)
    const stopping = new AbortController()
    const running = runScheduleController(
      {
        config: cluster.config,
        namespaces: ['default'],
        fleets: [FLEET],
        dataRoot: '/data',
        heartbeatSeconds: 10,
        pollMilliseconds: 200,
        api: new ApiResources<FineTuneScheduleResource>(cluster.config, SCHEDULE_PLURAL, { log, now }),
        schedules: new TemporalSchedules({
          client: worker.client,
          address: worker.temporal.address,
          heartbeatSeconds: 10,
        }),
        now,
        log,
      },
      stopping.signal,
    )
    stop = async () => {
      stopping.abort()
      await running
    }
  })
  after(async () => {
    await stop?.()
    await worker?.stop()
    await cluster?.stop()
  })

  async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
    for (let waited = 0; waited < 60_000; waited += 100) {
      const found = await look()
      if (found !== undefined) return found
      await sleep(100)
    }
    throw new Error(`in vain; the controller said: ${lines.join('\n')}`)
  }
  const create = (name: string, spec: object = {}) =>
    custom.createNamespacedCustomObject({
      ...PLACE,
      body: {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTuneSchedule',
        metadata: { name },
        spec: {
          schedule: { cron: '0 2 * * *' },
          fineTune: { model: { source: 'models/tiny' }, data: { train: ['s3://rows/support/'] } },
          ...spec,
        },
      },
    })
  const read = async (name: string) =>
    (await custom.getNamespacedCustomObject({ ...PLACE, name })) as FineTuneScheduleResource
  const change = (name: string, spec: object) =>
    custom.patchNamespacedCustomObject(
      { ...PLACE, name, body: { spec } },
      setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
    )
  const untilReason = (name: string, reason: string) =>
    eventually(async () => {
      const resource = await read(name)
      const ready = resource.status?.conditions.find(({ type }) => type === 'Ready')
      return ready?.reason === reason ? { ...resource, ready } : undefined
    })
  const scheduleOf = ({ metadata }: FineTuneScheduleResource) =>
    worker.client.schedule.getHandle(`nightly-${metadata.uid}`)
  const eventsOf = async (name: string) => {
    const { items } = await cluster.config
      .makeApiClient(CoreV1Api)
      .listNamespacedEvent({ namespace: 'default' })
    return items.filter(({ involvedObject }) => involvedObject.name === name).map(({ reason }) => reason)
  }

  test('becomes a schedule of Temporal, with paths below the data root', async () => {
    await create('support', { schedule: { cron: '30 2 * * *', timeZone: 'Europe/Zurich' } })
    const resource = await untilReason('support', 'Scheduled')
    const { spec, state, action } = await scheduleOf(resource).describe()
    assert.equal(state.paused, false)
    assert.equal(spec.timezone, 'Europe/Zurich')
    const [job] = action.args as unknown as [NightlyJob]
    assert.equal(job.spec.fineTune.model.source, '/data/models/tiny')
    assert.equal(job.trainingQueue, FLEET.taskQueue)
    assert.equal(resource.status?.model, 'support')
    assert.match(resource.status?.nextTime ?? '', /^20..-..-..T/)
    assert.equal(resource.status?.observedGeneration, resource.metadata.generation)
    assert((await eventsOf('support')).includes('Scheduled'))
  })

  test('is suspended and resumed', async () => {
    await change('support', { suspend: true })
    const resource = await untilReason('support', 'Suspended')
    assert.equal((await scheduleOf(resource).describe()).state.paused, true)
    assert.equal(resource.status?.nextTime, undefined)
    await change('support', { suspend: false })
    await untilReason('support', 'Scheduled')
    assert.equal((await scheduleOf(resource).describe()).state.paused, false)
  })

  test('says what its last night did and why', async () => {
    await scheduleOf(await read('support')).trigger()
    const { status } = await eventually(async () => {
      const resource = await read('support')
      return resource.status?.lastNight?.end === 'skipped' ? resource : undefined
    })
    assert.equal(status?.lastNight?.why, 'Nothing is new.')
    await eventually(async () => ((await eventsOf('support')).includes('NightSkipped') ? true : undefined))
  })

  test('may not publish a name that another one publishes', async () => {
    await create('twin', {
      fineTune: {
        model: { source: 'models/tiny' },
        data: { train: ['s3://rows/support/'] },
        publish: { name: 'support' },
      },
    })
    const { ready } = await untilReason('twin', 'NameTaken')
    assert.match(
      ready.message,
      /^support is published by the schedule .* give spec\.fineTune\.publish\.name another name/,
    )
    await assert.rejects(scheduleOf(await read('twin')).describe())
  })

  test('that no clock ever starts, or of an unknown time zone, is refused with its reason', async () => {
    await create('never', { schedule: { cron: '0 2 30 2 *', timeZone: 'Mars/Olympus' } })
    const { ready } = await untilReason('never', 'InvalidSpec')
    assert.match(ready.message, /cron: never fires[\s\S]*timeZone: must be a time zone/)
    await assert.rejects(create('metric', { gate: { metric: 'bleu' } }), (error) => {
      assert(error instanceof ApiException)
      assert.equal(error.code, 422)
      return true
    })
  })

  test('deleted, its schedule is gone and its name is free: the twin takes over', async () => {
    const resource = await read('support')
    await custom.deleteNamespacedCustomObject({ ...PLACE, name: 'support' })
    await eventually(() =>
      read('support').then(
        () => undefined,
        () => true,
      ),
    )
    await assert.rejects(scheduleOf(resource).describe())
    await eventually(() => Promise.resolve(released.length > 0 ? true : undefined))
    assert.deepEqual(released, [['support', resource.metadata.uid]])
    await untilReason('twin', 'Scheduled')
  })
})
