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

/** Who asks for a lease: attempts of one run are ordered by number, runs by who came first. */
export interface LeaseClaim {
  /** Unique among all runs that ever train this job, such as the id of a workflow's run. */
  run: string
  /** From 1, higher for the later attempt of this run. */
  attempt: number
}

/** Fields that a newer version has added are passed over: workers of two versions serve one store while an update is rolled out. */
const leaseSchema = z.object({
  epoch: z.int().min(1),
  attempt: z.string().min(1),
  claim: z.exactOptional(z.object({ run: z.string().min(1), attempt: z.int().min(1) })),
  /** Runs that have lost the lease to another run, the latest last. They never get it back. */
  past: z.exactOptional(z.array(z.string())),
})
type HeldLease = z.infer<typeof leaseSchema>

/** Each lost round means that somebody else acquired the lease; so many at once is no job but a fault. */
const MAX_ROUNDS = 100
/** A run that lost the lease tries for minutes at most; so many others do not come and go meanwhile. */
const PAST_RUNS = 50

/**
 * Takes the job's next epoch by compare-and-swap. `attempt` is unique to the caller: it tells a write of our own whose answer
 * was lost from one of another's. There is no release and no expiry: a lease ends when the next one begins.
 *
 * With a claim, the lease only ever moves forward: FencedError for an attempt that a later one of its run has overtaken (it was
 * asleep when it was given up), and for a run from which another run has taken the job. Else two owners that both try again
 * would fence each other for ever.
 */
export async function acquireLease(
  store: Store,
  jobId: string,
  attempt: string,
  claim?: LeaseClaim,
): Promise<Lease> {
  const key = leaseKey(jobId)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const held = await readJson(store, key, leaseSchema)
    if (held && claim) refuseOvertaken(held.value, jobId, claim)
    const epoch = (held?.value.epoch ?? 0) + 1
    const past = pastRuns(held?.value, claim)
    try {
      await store.write(
        key,
        jsonText({ epoch, attempt, ...(claim && { claim }), ...(past.length > 0 && { past }) }),
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

function refuseOvertaken(held: HeldLease, jobId: string, claim: LeaseClaim): void {
  const owner = `attempt ${held.attempt}, epoch ${held.epoch}`
  if (held.past?.includes(claim.run) && held.claim?.run !== claim.run)
    throw new FencedError(
      `Another run of job ${jobId} has taken its training over (${owner}): this one writes nothing more; run the job again to take it back`,
    )
  if (held.claim?.run === claim.run && held.claim.attempt > claim.attempt)
    throw new FencedError(`attempt ${claim.attempt} of job ${jobId} comes too late: ${owner} has begun since`)
}

function pastRuns(held: HeldLease | undefined, claim: LeaseClaim | undefined): string[] {
  const { claim: before, past = [] } = held ?? {}
  if (before === undefined || before.run === claim?.run) return past
  return [...past, before.run].slice(-PAST_RUNS)
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
