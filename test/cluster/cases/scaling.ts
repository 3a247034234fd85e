import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@temporalio/client'
import type { V1Pod } from '@kubernetes/client-node'
import { WAITS_FOR_APPROVAL } from '../../../k8s/fine-tune-resource.ts'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { type Keda, startKeda } from '../../support/cluster/keda.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation, SMALL } from '../installation.ts'
import { type Surroundings, seconds } from '../surroundings.ts'
import { TrainingWatch, isStepping } from '../watch-training.ts'

const FLEET = 'cpu'
/** The CPU stages' workers, by the chart. */
const STAGES = 'stages'
/** Steps of the tiny model, at most 250 a second on an idle machine: enough for another pod to start beside them. */
const SHORT = 8000
const LONG = 16000
/** Where the training is not what is looked at. */
const FEW = 50
/** Longer than KEDA and the autoscaler wait before they let a pod go. */
const LOOK_SECONDS = 40

export const scaling: ClusterCase = {
  name: 'scaling',
  what: "KEDA's operator and adapter: 0 to 1 for a job, kept while it trains, 2 to 1 without a busy pod, none for a suspended job, one again when it is resumed, none for a job that waits for approval",
  missing: async () =>
    (await nodesMissing()) ??
    programsMissing(['helm', 'kubectl', 'coredns', 'keda-operator', 'keda-adapter']),
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const cluster = await place.cluster()
  const [node] = cluster.nodes
  assert(node)
  const { network } = cluster
  const keda = await startKeda(cluster, {
    machine: node.machine,
    address: network.addressOf(1),
    dnsAddress: network.dnsAddress,
  })
  try {
    await scale(place, keda, say)
  } finally {
    await keda.stop()
  }
}

async function scale(place: Surroundings, keda: Keda, say: (line: string) => void): Promise<void> {
  assert.equal(keda.servers.length, 2)
  const installation = await Installation.prepare(place, 'scaling', {
    keda: { enabled: true, pollingInterval: 1, cooldownPeriod: 20 },
    fleets: [{ name: FLEET, taskQueue: 'finetune-train-cpu', min: 0, max: 2, resources: SMALL }],
  })
  const client = await (await place.temporal()).clientOf(installation.namespace)
  await installation.install()
  await untilPods(installation, 0)
  say('nothing to do: no pod')

  let began = performance.now()
  const first = await train(installation, client, 'first', SHORT)
  say(`0 to 1: from kubectl apply to the first step ${seconds(began)}`)
  const second = await train(installation, client, 'second', LONG)
  assert.notEqual(first.pod, second.pod)
  say('1 to 2: the second job trains on a pod of its own')
  let least = Number.POSITIVE_INFINITY
  while ((await installation.read('first')).status?.stage === 'train') {
    least = Math.min(least, (await alive(installation)).length)
    await sleep(500)
  }
  assert.equal(least, 2, 'both pods were kept while both jobs trained')
  began = performance.now()
  await untilPods(installation, 1)
  const [left] = await alive(installation)
  assert.equal(left?.metadata?.name, second.pod, 'the idle pod went')
  say(`2 to 1 ${seconds(began)} after the first job has trained: the idle pod went`)
  const done = await installation.complete('second')
  assert.deepEqual(done.status?.recoveries ?? [], [], 'the busy pod was left alone')
  await untilPods(installation, 0)
  const { status } = await installation.read('second')
  const trained = status?.stages?.find(({ name }) => name === 'train')?.completionTime ?? ''
  say(`1 to 0 at most ${Math.round((Date.now() - Date.parse(trained)) / 1000)} s after the last training`)

  await train(installation, client, 'third', LONG)
  await suspend(installation, 'third', true)
  began = performance.now()
  await untilPods(installation, 0)
  say(`a suspended job: no pod after ${seconds(began)}`)
  const end = performance.now() + LOOK_SECONDS * 1000
  while (performance.now() < end) {
    assert.equal((await alive(installation)).length, 0, 'a suspended job keeps no pod up')
    await sleep(1000)
  }
  say(`and none for ${LOOK_SECONDS} s more`)
  began = performance.now()
  await suspend(installation, 'third', false)
  await installation.eventually('a pod for the job that goes on', async () =>
    (await alive(installation)).length === 1 ? true : undefined,
  )
  const { status: resumed } = await installation.complete('third')
  assert.deepEqual(resumed?.recoveries ?? [], [], 'to be suspended is no failure')
  say(`resumed: a pod came, and the job was complete after ${seconds(began)}`)
  await untilPods(installation, 0)

  await asking(installation, say)
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
}

/** A job that asks a person: no machine that trains is up, and of the other stages no more than the chart's own `min`. */
async function asking(installation: Installation, say: (line: string) => void): Promise<void> {
  const approval = { publish: { approval: 'required' } }
  await installation.apply(fineTune('asks', { maxSteps: FEW, seed: 4 }, approval))
  await installation.until('asks', 'to wait for approval', ({ status }) =>
    Boolean(status?.conditions.some((one) => one.reason === WAITS_FOR_APPROVAL && one.status === 'True')),
  )
  let began = performance.now()
  await untilPods(installation, 0)
  say(`a job that waits for approval: no pod after ${seconds(began)}`)
  const end = performance.now() + LOOK_SECONDS * 1000
  while (performance.now() < end) {
    assert.equal((await alive(installation)).length, 0, 'a job that waits for approval keeps no pod up')
    assert.equal((await alive(installation, STAGES)).length, 1, 'the other stages have their least')
    await sleep(1000)
  }
  say(`and none for ${LOOK_SECONDS} s more`)
  began = performance.now()
  const answer = JSON.stringify({ spec: { approval: { decision: 'approved', by: 'the test' } } })
  await installation.kubectl('patch', 'finetune', 'asks', '--type=merge', '-p', answer)
  const { status } = await installation.complete('asks')
  assert.equal(status?.approval?.by, 'the test')
  assert.deepEqual(status?.recoveries ?? [], [])
  assert.equal((await alive(installation)).length, 0, 'to publish takes no machine that trains')
  say(`approved: published after ${seconds(began)}`)
}

async function suspend(installation: Installation, name: string, suspend: boolean): Promise<void> {
  const patch = JSON.stringify({ spec: { suspend } })
  await installation.kubectl('patch', 'finetune', name, '--type=merge', '-p', patch)
}

/** Submits a job and waits for its first steps. */
async function train(
  installation: Installation,
  client: Client,
  name: string,
  maxSteps: number,
): Promise<{ pod: string }> {
  await installation.apply(fineTune(name, { maxSteps, seed: name.length * 1000 + maxSteps }))
  const { status } = await installation.until(name, 'its workflow', ({ status }) =>
    Boolean(status?.workflowId),
  )
  const watch = new TrainingWatch(client, status?.workflowId ?? '')
  try {
    return await installation.eventually(`${name} to train`, async () =>
      watch.find((sample) => isStepping(sample) && sample.progress.done > 0),
    )
  } finally {
    await watch.stop()
  }
}

async function alive(installation: Installation, fleet = FLEET): Promise<V1Pod[]> {
  return (await installation.pods(fleet)).filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
}

async function untilPods(installation: Installation, count: number): Promise<void> {
  await installation.eventually(`${count} pods`, async () =>
    (await alive(installation)).length === count ? true : undefined,
  )
}
