import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { StageContext } from '../../src/stages/stage-context.ts'
import { openStore } from '../../src/store/open-store.ts'
import { monotonicClock } from '../../src/train/clock.ts'

/** What a worker gives a stage, over a store in `folder`; each call is another attempt. */
export async function stageContext(folder: string): Promise<StageContext> {
  const attemptName = `a1-${randomBytes(6).toString('hex')}`
  const scratchDir = join(folder, 'scratch', attemptName)
  await mkdir(scratchDir, { recursive: true })
  return {
    store: await openStore(pathToFileURL(join(folder, 'store')).href),
    scratchDir,
    artifactCache: join(folder, 'artifacts'),
    downloadCache: join(folder, 'downloads'),
    environment: {},
    clock: monotonicClock,
    attemptName,
    run: attemptName,
    signal: new AbortController().signal,
    progress: () => {},
    log: () => {},
  }
}
