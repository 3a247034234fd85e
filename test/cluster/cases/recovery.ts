import assert from 'node:assert/strict'
import { loadavg } from 'node:os'
import { ApiException } from '@kubernetes/client-node'
import type { Client } from '@temporalio/client'
import { isResting, viewJob } from '../../../jobs/job-view.ts'
import { pauseSignal, resumeSignal } from '../../../workflows/signals.ts'
import type { FailureKind } from '../../../src/failures/failure-kind.ts'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { adapterOf } from '../../faults/check-outcome.ts'
import { keysOf } from '../../store/support/scratch.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation } from '../installation.ts'
import { LossWatch } from '../loss-watch.ts'
import type { RecoveryTime } from '../recovery-times.ts'
import { type Surroundings, seconds } from '../surroundings.ts'
import { TrainingWatch } from '../watch-training.ts'

const NAME = 'recovery'
/** More than are computed until the last disturbance is over: an idle machine does 250 a second, and some of each attempt are kept. */
const trainOf = (disturbances: number) => ({
  maxSteps: 2000 + 1500 * disturbances,
  checkpoint: { everySteps: 100, everySeconds: 60, keepLast: 2 },
})
/** Steps of an attempt before it is disturbed: there is something to lose. */
const DISTURB_AFTER = 150
/** Stages after the training. */
const OVER = ['evaluate', 'merge', 'quantize', 'publish', 'complete']
const TOO_MANY_REQUESTS = 429

interface Disturbance {
  installation: Installation
  place: Surroundings
  /** The pod that trains. */
  pod: string
  client: Client
  jobId: string
  /** From 1. */
  time: number
}

/** Answers how the time until the next step came about, and what is to be done before the next disturbance. */
type Disturb = (disturbance: Disturbance) => Promise<{
  /** `end` is when that step was seen. */
  parts?: (end: number) => Record<string, number>
  mend?: () => Promise<void>
  /** Where no such step came: leaves the cluster as other cases want it. */
  undo?: () => Promise<void>
}>

interface RecoveryCase {
  name: string
  what: string
  /** Which kind of failure the status must name each time. */
  kind: FailureKind
  /** What the status must say of it. */
  evidence: RegExp
  disturb: Disturb
}

function recoveryCase({ what, ...rest }: RecoveryCase): ClusterCase {
  return {
    name: rest.name,
    what: `${what}, again and again`,
    missing: async () => (await nodesMissing()) ?? programsMissing(['helm', 'kubectl', 'coredns']),
    run: (place, say) => recover({ what, ...rest }, place, say),
  }
}

async function recover(
  { name, what, kind, evidence, disturb }: RecoveryCase,
  place: Surroundings,
  say: (line: string) => void,
): Promise<void> {
  const undisturbed = await undisturbedAdapter(place, say)
  const installation = await Installation.prepare(place, name)
  await installation.install()
  await installation.apply(fineTune(NAME, trainOf(place.disturbances)))
  const { status } = await installation.until(NAME, 'its workflow', ({ status }) =>
    Boolean(status?.workflowId),
  )
  const client = await (await place.temporal()).clientOf(installation.namespace)
  const jobId = status?.workflowId ?? ''
  const watch = new TrainingWatch(client, jobId)
  const times: Omit<RecoveryTime, 'stepsLost'>[] = []
  try {
    let from = 0
    for (let time = 1; time <= place.disturbances; time++) {
      const before = await training(installation, () => watch.stepsSince(from, DISTURB_AFTER))
      const began = performance.now()
      const { parts, mend, undo } = await disturb({
        installation,
        place,
        pod: before.pod,
        client,
        jobId,
        time,
      })
      const again = await training(installation, () => watch.newStepOfAnother(before.activity, began)).catch(
        async (error: unknown) => {
          await undo?.()
          throw error
        },
      )
      const took = (again.at - began) / 1000
      const [load = 0] = loadavg()
      const seen = parts && { parts: parts(again.at) }
      times.push({ disturbance: what, seconds: took, load, ...seen })
      say(
        `${took.toFixed(1)} s to the first step after it, at load ${load.toFixed(1)} ${partsText(seen?.parts)}`,
      )
      await mend?.()
      from = performance.now()
    }
    const resource = await installation.complete(NAME)
    const recoveries = resource.status?.recoveries ?? []
    for (const one of recoveries)
      say(`status: ${one.kind}, ${one.stepsLost} steps and ${one.gpuSecondsLost} s lost: ${one.evidence}`)
    assert.equal(recoveries.length, place.disturbances, 'the status names each of them once')
    for (const one of recoveries) {
      assert.equal(one.kind, kind)
      assert.match(one.evidence, evidence)
    }
    assert.equal(await adapterOf(installation.store), undisturbed, 'the adapter is the undisturbed one')
    say('the adapter is the undisturbed one, bit for bit')
    for (const [index, time] of times.entries())
      place.recoveries.push({ ...time, stepsLost: recoveries[index]?.stepsLost ?? 0 })
  } finally {
    await watch.stop()
  }
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
}

/** Waits for something that only a training can show: not for one that is over. */
function training<T>(installation: Installation, look: () => T | undefined): Promise<T> {
  return installation.eventually('steps', async () => {
    await installation.until(NAME, 'steps', ({ status }) => {
      assert.equal(OVER.includes(status?.stage ?? ''), false, 'it still trains')
      return true
    })
    return look()
  })
}

function partsText(parts: Record<string, number> = {}): string {
  return Object.entries(parts)
    .map(([part, seconds]) => `${part} ${seconds.toFixed(1)}`)
    .join(', ')
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
    await installation.apply(fineTune(NAME, trainOf(place.disturbances)))
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

export const deleted = recoveryCase({
  name: 'deleted',
  what: 'the training pod is deleted without any grace',
  kind: 'lost',
  evidence: /the pod is gone/,
  async disturb({ installation, pod }) {
    await installation.kubectl('delete', 'pod', pod, '--grace-period=0', '--force')
    return {}
  },
})

export const evicted = recoveryCase({
  name: 'evicted',
  what: 'the training pod is evicted by the API',
  kind: 'preempted',
  evidence: /DisruptionTarget/,
  async disturb({ installation, pod }) {
    const { namespace } = installation
    // A moment after the last one another worker is not ready yet, and the disruption budget refuses.
    await installation.eventually('the eviction', () =>
      installation.core
        .createNamespacedPodEviction({ name: pod, namespace, body: { metadata: { name: pod, namespace } } })
        .catch((error: unknown) => {
          if (error instanceof ApiException && error.code === TOO_MANY_REQUESTS) return undefined
          throw error
        }),
    )
    return {}
  },
})

export const nodeLost = recoveryCase({
  name: 'node-lost',
  what: 'the node of the training pod is lost: no kubelet, no network, the orphan left running',
  kind: 'nodeLost',
  evidence: /node/,
  async disturb({ installation, place, pod, client, jobId, time }) {
    const { spec } = await installation.core.readNamespacedPod({
      name: pod,
      namespace: installation.namespace,
    })
    const cluster = await place.cluster()
    const node = cluster.nodes.find(({ name }) => name === spec?.nodeName)
    assert(node, 'the pod is on a node')
    const loss = new LossWatch(installation, { node: node.name, pod })
    await node.lose()
    return {
      parts: (end) => loss.parts(end),
      undo: () => node.restore(),
      async mend() {
        await loss.stop()
        // Nothing may be written from now on but by the orphan.
        await client.workflow.getHandle(jobId).signal(pauseSignal)
        await installation.eventually('rest', async () =>
          isResting(await viewJob(client, jobId)) ? true : undefined,
        )
        // The controller was lost too: another one has to lead first.
        await installation.until(NAME, 'the reason', ({ status }) => {
          const recoveries = status?.recoveries ?? []
          return recoveries.length === time && recoveries.at(-1)?.kind === 'nodeLost'
        })
        const before = await sharedObjects(installation)
        await node.restore()
        await installation.eventually('the orphan to go', async () => {
          const { items } = await installation.core.listNamespacedPod({ namespace: installation.namespace })
          return items.some(({ metadata }) => metadata?.name === pod) ? undefined : true
        })
        assert.deepEqual(await sharedObjects(installation), before, 'the orphan has committed nothing')
        await client.workflow.getHandle(jobId).signal(resumeSignal)
      },
    }
  },
})

/**
 * What somebody reads: manifests, pointers, leases. A checkpoint is read where its job's pointer names it, so one that an orphan has finished
 * under its own attempt's name is nothing yet; what else it leaves is read by nobody either.
 */
async function sharedObjects({ store }: Installation): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const prefix of ['artifacts/', 'jobs/', 'models/']) {
    for (const key of await keysOf(store, prefix)) {
      if (!/\/(manifest|latest|lease|current)\.json$/.test(key)) continue
      const object = await store.read(key)
      found[key] = Buffer.from(object?.bytes ?? '').toString()
    }
  }
  const isRead = (key: string): boolean => {
    const [, training = '', checkpoint = ''] = /^(.*\/)checkpoints\/([^/]+)\/manifest\.json$/.exec(key) ?? []
    if (checkpoint === '') return true
    const { value = [] } = JSON.parse(found[`${training}latest.json`] ?? '{}') as { value?: string[] }
    return value.includes(checkpoint)
  }
  return Object.fromEntries(Object.entries(found).filter(([key]) => isRead(key)))
}
