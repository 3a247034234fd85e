import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identifyProcess } from '../../src/local/process-identity.ts'
import { type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'
import { writeTinyModel } from '../support/tiny-model.ts'

/** What all cases share: a real S3 server, a tiny model, a few rows. */
export interface Surroundings {
  s3: SeaweedFs
  /** A tiny model. */
  model: string
  /** The same for rows of up to 1024 tokens. */
  longModel: string
  rows: string
  /** Folders of cases are made in here; removed at the end. */
  root: string
  /** Rejects when the S3 server has ended. */
  gone: Promise<never>
  close(): Promise<void>
}

export const BUCKET = 'faults'
const ROWS = 60

export async function openSurroundings(): Promise<Surroundings> {
  const root = mkdtempSync(join(tmpdir(), 'temper-faults-'))
  const s3 = await startSeaweedFs()
  await s3.createBucket(BUCKET)
  const model = join(root, 'model')
  await writeTinyModel(model)
  const longModel = join(root, 'long-model')
  await writeTinyModel(longModel, 1, 1024)
  const rows = join(root, 'rows.jsonl')
  const lines = Array.from({ length: ROWS }, (_, i) =>
    JSON.stringify({ instruction: `What is ${i} plus one?`, output: `It is ${i + 1}.` }),
  )
  writeFileSync(rows, `${lines.join('\n')}\n`)
  mkdirSync(join(root, 'homes'))
  const gone = Promise.withResolvers<never>()
  // Heard by whoever waits for a job.
  gone.promise.catch(() => {})
  const watch = setInterval(() => {
    if (identifyProcess(s3.pid) === undefined) gone.reject(new Error('the S3 server has ended'))
  }, 500)
  return {
    gone: gone.promise,
    s3,
    model,
    longModel,
    rows,
    root,
    async close() {
      clearInterval(watch)
      await s3.stop()
      rmSync(root, { recursive: true, force: true })
    },
  }
}
