import assert from 'node:assert/strict'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { adapterOf } from '../../faults/check-outcome.ts'
import { keysOf } from '../../store/support/scratch.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation } from '../installation.ts'
import { type Surroundings, seconds } from '../surroundings.ts'
import { TrainingWatch, isStepping } from '../watch-training.ts'

const NAME = 'recovery'
const STEPS = 1500
const TRAIN = { maxSteps: STEPS, checkpoint: { everySteps: 100, everySeconds: 60, keepLast: 2 } }
/** Disturbed when there is something to lose and much still to do. */
const DISTURB_AFTER = 300

interface Disturbance {
  installation: Installation
  place: Surroundings
  /** The pod that trains. */
  pod: string
  say: (line: string) => void
}

/** Answers what is to be done when the job is complete. */
type Disturb = (disturbance: Disturbance) => Promise<(() => Promise<void>) | undefined>

function recoveryCase(name: string, what: string, kinds: readonly string[], disturb: Disturb): ClusterCase {
  return {
    name,
    what,
    missing: async () => (await nodesMissing()) ?? programsMissing(['helm', 'kubectl', 'coredns']),
    run: (place, say) => recover(name, kinds, disturb, place, say),
  }
}

async function recover(
  name: string,
  kinds: readonly string[],
  disturb: Disturb,
  place: Surroundings,
  say: (line: string) => void,
): Promise<void> {
  const undisturbed = await undisturbedAdapter(place, say)
  const installation = await Installation.prepare(place, name)
  await installation.install()
  await installation.apply(fineTune(NAME, TRAIN))
  const { status } = await installation.until(NAME, 'its workflow', ({ status }) =>
    Boolean(status?.workflowId),
  )
  const client = await (await place.temporal()).clientOf(installation.namespace)
  const watch = new TrainingWatch(client, status?.workflowId ?? '')
  try {
    const before = await installation.eventually(`${DISTURB_AFTER} steps`, async () =>
      watch.find((sample) => isStepping(sample) && sample.progress.done >= DISTURB_AFTER),
    )
    const began = performance.now()
    const after = await disturb({ installation, place, pod: before.pod, say })
    const again = await installation.eventually('a step of another attempt', async () => {
      await installation.until(NAME, 'a step', () => true)
      return watch.newStepOfAnother(before.activity)
    })
    say(`from the disturbance to the first step after it: ${((again.at - began) / 1000).toFixed(1)} s`)
    const resource = await installation.complete(NAME)
    const recoveries = resource.status?.recoveries ?? []
    for (const { kind, evidence, stepsLost, gpuSecondsLost } of recoveries)
      say(`status: ${kind}, ${stepsLost ?? '?'} steps and ${gpuSecondsLost ?? '?'} s lost: ${evidence}`)
    assert.equal(recoveries.length > 0, true, 'the status names the recovery')
    for (const { kind } of recoveries)
      assert.equal(kinds.includes(kind), true, `${kind}: one of ${kinds.join(', ')}`)
    assert.equal(await adapterOf(installation.store), undisturbed, 'the adapter is the undisturbed one')
    say('the adapter is the undisturbed one, bit for bit')
    await after?.()
  } finally {
    await watch.stop()
  }
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
}

const adapters = new WeakMap<Surroundings, Promise<string>>()

/** Of the same job in an installation where nothing happens; once for all cases. */
function undisturbedAdapter(place: Surroundings, say: (line: string) => void): Promise<string> {
  const known = adapters.get(place)
  if (known) return known
  const adapter = (async () => {
    const installation = await Installation.prepare(place, 'undisturbed')
    await installation.install()
    const began = performance.now()
    await installation.apply(fineTune(NAME, TRAIN))
    await installation.complete(NAME)
    say(`the undisturbed job: ${seconds(began)}`)
    const digest = await adapterOf(installation.store)
    await installation.kubectl('delete', 'finetunes', '--all')
    await installation.uninstall()
    return digest
  })()
  adapters.set(place, adapter)
  return adapter
}

export const deleted = recoveryCase(
  'deleted',
  'the training pod is deleted without any grace',
  ['lost', 'killed', 'nodeLost', 'preempted'],
  async ({ installation, pod }) => {
    await installation.kubectl('delete', 'pod', pod, '--grace-period=0', '--force')
    return undefined
  },
)

export const evicted = recoveryCase(
  'evicted',
  'the training pod is evicted by the API',
  ['stopped', 'preempted'],
  async ({ installation, pod }) => {
    const { namespace } = installation
    await installation.core.createNamespacedPodEviction({
      name: pod,
      namespace,
      body: { metadata: { name: pod, namespace } },
    })
    return undefined
  },
)

export const nodeLost = recoveryCase(
  'node-lost',
  'the node of the training pod is lost: no kubelet, no network, the orphan left running',
  ['lost', 'nodeLost'],
  async ({ installation, place, pod, say }) => {
    const { spec } = await installation.core.readNamespacedPod({
      name: pod,
      namespace: installation.namespace,
    })
    const cluster = await place.cluster()
    const node = cluster.nodes.find(({ name }) => name === spec?.nodeName)
    assert(node, 'the pod is on a node')
    await node.lose()
    return async () => {
      const before = await sharedObjects(installation)
      await node.restore()
      await installation.eventually('the orphan to go', async () => {
        const { items } = await installation.core.listNamespacedPod({ namespace: installation.namespace })
        return items.some(({ metadata }) => metadata?.name === pod) ? undefined : true
      })
      assert.deepEqual(await sharedObjects(installation), before)
      say('the orphan, back in the network, has committed nothing')
    }
  },
)

/** Names that somebody reads: manifests, pointers, leases. What an orphan leaves beside them is read by nobody. */
async function sharedObjects({ store }: Installation): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const prefix of ['artifacts/', 'jobs/', 'models/']) {
    for (const key of await keysOf(store, prefix)) {
      if (!/\/(manifest|latest|lease|current)\.json$/.test(key)) continue
      const object = await store.read(key)
      found[key] = Buffer.from(object?.bytes ?? '').toString()
    }
  }
  return found
}
