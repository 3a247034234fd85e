import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { FileEntry } from '../../src/store/stored-files.ts'
import type { Store } from '../../src/store/store.ts'
import { keysOf } from '../store/support/scratch.ts'
import type { FaultJob } from './fault-job.ts'
import { allProcesses } from './trainer-process.ts'

interface StoredManifest {
  attempt: string
  files: FileEntry[]
  quarantined?: string
  summary?: { tuned?: { loss: number } }
}

const STAGES = ['clean', 'tokenize', 'train', 'evaluate', 'merge']

/** SHA-256 of the adapter that the job has committed, of the bytes as they lie in the store. */
export async function adapterOf(store: Store): Promise<string> {
  const [key] = await manifestKeys(store, 'artifacts/train/')
  assert(key, 'an adapter is committed')
  const { files } = await manifestAt(store, key)
  const adapter = files.find(({ name }) => name === 'adapter_model.safetensors')
  assert(adapter, 'the artifact holds an adapter')
  const object = await store.read(adapter.key)
  return createHash('sha256')
    .update(object?.bytes ?? '')
    .digest('hex')
}

/** Of the tuned model on the evaluation rows, as the job has committed it. */
export async function tunedLoss(store: Store): Promise<number> {
  const [key] = await manifestKeys(store, 'artifacts/evaluate/')
  assert(key, 'an evaluation is committed')
  const { summary } = await manifestAt(store, key)
  assert(summary?.tuned, 'the evaluation has a loss of the tuned model')
  return summary.tuned.loss
}

/**
 * What has to be true after every fault: one lineage, and nothing half that anything reads.
 * `quarantined`: how many checkpoints the fault has spoilt.
 */
export async function checkOutcome(
  { store }: FaultJob,
  { quarantined = 0 }: { quarantined?: number } = {},
): Promise<void> {
  for (const stage of [...STAGES, ...(await quantized(store))]) {
    const manifests = await manifestKeys(store, `artifacts/${stage}/`)
    assert.equal(manifests.length, 1, `stage ${stage} has committed ${manifests.length} artifacts, not one`)
    await checkFiles(store, manifests[0] ?? '')
  }
  const versions = await manifestKeys(store, 'models/')
  assert.equal(versions.length, 1, `${versions.length} versions are published, not one`)
  await checkFiles(store, versions[0] ?? '')
  const pointers = (await keysOf(store, 'jobs/')).filter((key) => key.endsWith('/latest.json'))
  assert.equal(pointers.length, 1, 'one pointer to the checkpoints')
  const [pointer = ''] = pointers
  const { value } = JSON.parse(await text(store, pointer)) as { value: string[] }
  for (const name of value)
    await checkFiles(store, `${pointer.replace(/latest\.json$/, '')}checkpoints/${name}/manifest.json`)
  const marks = (await keysOf(store, 'jobs/')).filter((key) => key.endsWith('/quarantined.json'))
  assert.equal(marks.length, quarantined, `${marks.length} checkpoints were set aside, not ${quarantined}`)
}

/** Whether the job was to write quantised files: then what it has written is held to the same. */
async function quantized(store: Store): Promise<string[]> {
  return (await manifestKeys(store, 'artifacts/quantize/')).length > 0 ? ['quantize'] : []
}

/** To be called when the workers have been stopped. */
export function checkNoProcessLeft({ root }: FaultJob): void {
  const left = allProcesses().filter(({ args }) => args.includes(root))
  assert.deepEqual(left, [], 'a process is left')
}

async function manifestKeys(store: Store, prefix: string): Promise<string[]> {
  const keys = await keysOf(store, prefix)
  return keys.filter((key) => key.endsWith('/manifest.json'))
}

async function checkFiles(store: Store, manifestKey: string): Promise<void> {
  const { files, quarantined } = await manifestAt(store, manifestKey)
  assert.equal(quarantined, undefined, manifestKey)
  assert(files.length > 0, `${manifestKey} names files`)
  for (const { key, size, sha256 } of files) {
    const object = await store.read(key)
    assert(object, `${key} is missing`)
    assert.equal(object.bytes.length, size, key)
    assert.equal(createHash('sha256').update(object.bytes).digest('hex'), sha256, key)
  }
}

async function manifestAt(store: Store, key: string): Promise<StoredManifest> {
  return JSON.parse(await text(store, key)) as StoredManifest
}

async function text(store: Store, key: string): Promise<string> {
  const object = await store.read(key)
  assert(object, `${key} is missing`)
  return Buffer.from(object.bytes).toString()
}
