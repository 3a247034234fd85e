import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'
import { writeTinyModel } from '../support/tiny-model.ts'

/** What all cases share: a real S3 server, a tiny model, a few rows. */
export interface Surroundings {
  s3: SeaweedFs
  model: string
  rows: string
  /** Folders of cases are made in here; removed at the end. */
  root: string
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
  const rows = join(root, 'rows.jsonl')
  const lines = Array.from({ length: ROWS }, (_, i) =>
    JSON.stringify({ instruction: `What is ${i} plus one?`, output: `It is ${i + 1}.` }),
  )
  writeFileSync(rows, `${lines.join('\n')}\n`)
  mkdirSync(join(root, 'homes'))
  return {
    s3,
    model,
    rows,
    root,
    async close() {
      await s3.stop()
      rmSync(root, { recursive: true, force: true })
    },
  }
}
