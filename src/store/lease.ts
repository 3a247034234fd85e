import { z } from 'zod'
import { ConflictError, FencedError, TransientError } from '../errors.ts'
import { jsonText, readJson } from './json-object.ts'
import type { Store } from './store.ts'

/** The right to write for one job. Whoever acquires it next has a higher epoch, and this one's writes fail from then on. */
export interface Lease {
  readonly jobId: string
  readonly epoch: number
  readonly attempt: string
  /** FencedError where a newer epoch exists. */
  check(): Promise<void>
}

const leaseSchema = z.strictObject({ epoch: z.int().min(1), attempt: z.string().min(1) })

/** Each lost round means that somebody else acquired the lease; so many at once is no job but a fault. */
const MAX_ROUNDS = 100

/**
 * Takes the job's next epoch by compare-and-swap. `attempt` is unique to the caller: it tells a write of our own whose answer
 * was lost from one of another's. There is no release and no expiry: a lease ends when the next one begins.
 */
export async function acquireLease(store: Store, jobId: string, attempt: string): Promise<Lease> {
  const key = leaseKey(jobId)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const held = await readJson(store, key, leaseSchema)
    const epoch = (held?.value.epoch ?? 0) + 1
    try {
      await store.write(
        key,
        jsonText({ epoch, attempt }),
        held === undefined ? { kind: 'absent' } : { kind: 'matches', etag: held.etag },
      )
    } catch (error) {
      if (error instanceof ConflictError) continue
      throw error
    }
    return heldLease(store, { jobId, epoch, attempt })
  }
  throw new TransientError(`the lease of job ${jobId} was taken by others ${MAX_ROUNDS} times in a row`)
}

/** A lease acquired elsewhere: a child process writes under the lease of its parent. */
export function heldLease(store: Store, held: Pick<Lease, 'jobId' | 'epoch' | 'attempt'>): Lease {
  const { jobId, epoch, attempt } = held
  return { jobId, epoch, attempt, check: () => check(store, leaseKey(jobId), epoch, attempt) }
}

const leaseKey = (jobId: string) => `jobs/${jobId}/lease.json`

async function check(store: Store, key: string, epoch: number, attempt: string): Promise<void> {
  const held = await readJson(store, key, leaseSchema)
  if (held?.value.epoch === epoch && held.value.attempt === attempt) return
  const owner =
    held === undefined ? 'it is gone' : `attempt ${held.value.attempt} holds epoch ${held.value.epoch}`
  throw new FencedError(`attempt ${attempt} no longer holds ${key} (its epoch is ${epoch}; ${owner})`)
}
