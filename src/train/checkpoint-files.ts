import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Trained } from '../model/trained.ts'
import { trainingPrefix } from '../store/checkpoint-pointer.ts'
import { latestCheckpoint, saveCheckpoint } from '../store/checkpoints.ts'
import { heldLease, type Lease } from '../store/lease.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import type { LogLine } from './child-protocol.ts'
import { readState, STATE_FILES, type TrainingState, writeState } from './training-state.ts'

/** Where a training's checkpoints lie and who may write them. The lease is the parent's: attempts are ordered by it. */
export interface CheckpointPlace {
  storeUri: string
  jobId: string
  /** Of the training: equal inputs and settings. */
  digest: string
  lease: Pick<Lease, 'epoch' | 'attempt'>
}

/** Training states as checkpoints in the store. Local copies lie below `scratchDir`. */
export class CheckpointFiles {
  readonly #store: Store
  readonly #lease: Lease
  readonly #prefix: string
  readonly #scratchDir: string
  readonly #keepLast: number

  private constructor(store: Store, place: CheckpointPlace, scratchDir: string, keepLast: number) {
    this.#store = store
    this.#lease = heldLease(store, { jobId: place.jobId, ...place.lease })
    this.#prefix = trainingPrefix(place.jobId, place.digest)
    this.#scratchDir = scratchDir
    this.#keepLast = keepLast
  }

  static async open(place: CheckpointPlace, scratchDir: string, keepLast: number): Promise<CheckpointFiles> {
    return new CheckpointFiles(await openStore(place.storeUri), place, scratchDir, keepLast)
  }

  /** The newest state that is whole, or undefined. Corrupt checkpoints are set aside and reported. */
  async latest(expected: Trained, log: (line: LogLine) => void): Promise<TrainingState | undefined> {
    const cacheDir = join(this.#scratchDir, 'resume')
    const { checkpoint, quarantined } = await latestCheckpoint(
      this.#store,
      this.#lease,
      this.#prefix,
      cacheDir,
    )
    for (const { name, reason } of quarantined)
      log({ level: 'warn', message: `checkpoint set aside: ${reason}`, fields: { checkpoint: name } })
    return checkpoint && readState(checkpoint.dir, expected)
  }

  /** Whole or not at all: two files on this disk first, then in the store, the manifest and the pointer last. Returns its bytes. */
  async save(state: TrainingState): Promise<number> {
    const { step, exact, evaluation } = state.record
    const { bestStep, bestLoss } = evaluation ?? {}
    const dir = join(this.#scratchDir, `checkpoint-${step}`)
    await mkdir(dir, { recursive: true })
    try {
      await writeState(dir, state)
      const files = STATE_FILES.map((name) => ({ name, path: join(dir, name) }))
      const meta = { exact, ...(bestStep !== undefined && { bestStep, bestLoss }) }
      const options = { keepLast: this.#keepLast, best: bestStep }
      await saveCheckpoint(this.#store, this.#lease, this.#prefix, step, files, meta, options)
      const sizes = await Promise.all(files.map(async (file) => (await stat(file.path)).size))
      return sizes.reduce((sum, size) => sum + size, 0)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
}
