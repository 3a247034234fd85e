import { writeSync } from 'node:fs'
import path from 'node:path'
import { commitArtifact, stageDigest } from '../../../src/store/artifact.ts'
import { saveCheckpoint } from '../../../src/store/checkpoints.ts'
import { acquireLease } from '../../../src/store/lease.ts'
import { publishVersion } from '../../../src/store/model-registry.ts'
import { openStore } from '../../../src/store/open-store.ts'
import type { S3Options } from '../../../src/store/s3-client.ts'
import type { Store } from '../../../src/store/store.ts'

/**
 * A process that writes to a store and says on its standard output, line by line, what it was told is written. Tests kill it anywhere
 * and then look whether that was true. Run as: scenario.ts <name> <store> <folder with files> <attempt>; S3 options in S3_OPTIONS.
 */
const said = (what: string) => writeSync(1, `${what}\n`)

export const IDENTITY = { stage: 'merge', version: 1, inputs: { base: 'b' }, settings: { dtype: 'F32' } }
export const PREFIX = 'jobs/job/training/d'
const STEPS = [10, 20, 30]

const SCENARIOS: Record<string, (store: Store, folder: string, attempt: string) => Promise<void>> = {
  async register(store) {
    let { etag } = await store.write('r/pointer.json', 'value 0', { kind: 'absent' })
    said('value 0')
    for (let value = 1; value <= 2; value++) {
      etag = (await store.write('r/pointer.json', `value ${value}`, { kind: 'matches', etag })).etag
      said(`value ${value}`)
    }
  },
  async artifact(store, folder, attempt) {
    const digest = stageDigest(IDENTITY)
    await commitArtifact(store, { ...IDENTITY, digest, attempt }, folder, { files: 2 })
    said('committed')
  },
  async checkpoint(store, folder, attempt) {
    const lease = await acquireLease(store, 'job', attempt)
    said(`epoch ${lease.epoch}`)
    for (const step of STEPS) {
      const files = [{ name: 'one.bin', path: path.join(folder, 'one.bin') }]
      await saveCheckpoint(store, lease, PREFIX, step, files, { step }, { keepLast: 1 })
      said(`saved ${step}`)
    }
  },
  async publish(store, folder, attempt) {
    const { version } = await publishVersion(store, 'bot', { contentKey: 'k', attempt, folder, summary: 0 })
    said(`published ${version}`)
  },
  async counter(store) {
    for (let round = 0; round < 15;) {
      const now = await store.read('counter')
      const next = String(Number(Buffer.from(now?.bytes ?? [])) + 1)
      const condition =
        now === undefined ? { kind: 'absent' as const } : { kind: 'matches' as const, etag: now.etag }
      try {
        await store.write('counter', next, condition)
        round++
      } catch (error) {
        if (!(error instanceof Error && error.name === 'ConflictError')) throw error
      }
    }
  },
  async swap(store) {
    const seen = await store.read('p')
    await store.write('p', 'late', { kind: 'matches', etag: seen?.etag ?? '' })
    said('swapped')
  },
  /** Saves for ever, until it is fenced. */
  async trainer(store, folder, attempt) {
    const lease = await acquireLease(store, 'job', attempt)
    for (let step = 1; ; step++) {
      const files = [{ name: 'one.bin', path: path.join(folder, 'one.bin') }]
      await saveCheckpoint(store, lease, PREFIX, step, files, { step }, { keepLast: 2 })
      said(`saved ${step}`)
    }
  },
}

if (import.meta.main) {
  const [name = '', uri = '', folder = '', attempt = ''] = process.argv.slice(2)
  const s3 = JSON.parse(process.env['S3_OPTIONS'] ?? '{}') as S3Options
  try {
    await SCENARIOS[name]?.(await openStore(uri, { s3 }), folder, attempt)
  } catch (error) {
    said(`${(error as Error).name}: ${(error as Error).message}`)
    process.exitCode = 1
  }
}
