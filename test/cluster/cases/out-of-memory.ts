import assert from 'node:assert/strict'
import { nodesMissing, programsMissing } from '../../support/cluster/binaries.ts'
import { tunedLoss } from '../../faults/check-outcome.ts'
import type { ClusterCase } from '../cluster-case.ts'
import { fineTune } from '../fine-tune.ts'
import { Installation, SMALL } from '../installation.ts'
import { type Surroundings, seconds } from '../surroundings.ts'

const TRAIN = { maxSteps: 3, perDeviceTrainBatchSize: 16 }
const ROWS = { data: { train: ['long-rows.jsonl'], maxLength: 1024 } }
/** Enough for the worker and a trainer of few rows at once, too little for sixteen. */
const TIGHT = '460Mi'
/** Another micro-batch sums in another order. */
const LOSS_TOLERANCE = 0.001

export const outOfMemory: ClusterCase = {
  name: 'out-of-memory',
  what: "the trainer is killed by its container's memory limit",
  missing: async () => (await nodesMissing()) ?? programsMissing(['helm', 'kubectl', 'coredns']),
  run,
}

async function run(place: Surroundings, say: (line: string) => void): Promise<void> {
  const roomy = await lossWith(place, 'roomy', '2Gi', say)
  const tight = await lossWith(place, 'tight', TIGHT, say)
  assert.deepEqual(roomy.recoveries, [])
  assert.equal(tight.recoveries.length > 0, true, `${TIGHT} is too little for sixteen rows at once`)
  for (const { kind } of tight.recoveries) assert.equal(kind, 'outOfMemory')
  const difference = Math.abs(tight.loss / roomy.loss - 1)
  say(`evaluation loss ${tight.loss} and ${roomy.loss}: ${(100 * difference).toFixed(4)} % apart`)
  assert(difference < LOSS_TOLERANCE)
}

async function lossWith(place: Surroundings, name: string, memory: string, say: (line: string) => void) {
  const resources = { ...SMALL, limits: { memory } }
  const installation = await Installation.prepare(place, name, {
    fleets: [{ name: 'cpu', taskQueue: 'finetune-train-cpu', replicas: 1, resources }],
  })
  await installation.install()
  const began = performance.now()
  await installation.apply(fineTune(name, TRAIN, ROWS))
  const { status } = await installation.complete(name)
  say(`with ${memory}: complete after ${seconds(began)}`)
  const recoveries = status?.recoveries ?? []
  for (const { kind, evidence } of recoveries) say(`status: ${kind}: ${evidence}`)
  const loss = await tunedLoss(installation.store)
  await installation.kubectl('delete', 'finetunes', '--all')
  await installation.uninstall()
  return { loss, recoveries }
}
