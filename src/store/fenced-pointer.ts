import { z } from 'zod'
import { ConflictError, CorruptError, FencedError, TransientError } from '../errors.ts'
import { jsonText, parseJson } from './json-object.ts'
import type { Lease } from './lease.ts'
import type { Store, WriteCondition } from './store.ts'

/** Only owners of the lease write the pointer, and there is one at a time beside a few zombies that give up at once. */
const MAX_ROUNDS = 100

/**
 * A name that several attempts move: {epoch, value}, written by compare-and-swap under a lease. A zombie may be past its lease
 * check when the next owner begins; therefore an owner first moves the pointer to its own epoch (with the value it finds),
 * after which the zombie's swap fails, and its next look finds a newer epoch.
 *
 * `next` makes the new value of the one found (undefined: none yet). Where the pointer's bytes are broken, `mend` says what
 * to take for what was there. Returns the new value.
 */
export async function movePointer<T>(
  store: Store,
  lease: Lease,
  key: string,
  schema: z.ZodType<T>,
  next: (found: T | undefined) => T | Promise<T>,
  mend?: (error: CorruptError) => Promise<T | undefined>,
): Promise<T> {
  const pointerSchema = z.strictObject({ epoch: z.int().min(1), value: schema })
  for (let round = 0; round < MAX_ROUNDS; round++) {
    await lease.check()
    const found = await find(store, key, pointerSchema, mend)
    if (found.epoch > lease.epoch) {
      throw new FencedError(
        `attempt ${lease.attempt} (epoch ${lease.epoch}) may not move ${key}: epoch ${found.epoch} has written it`,
      )
    }
    const value = await next(found.value)
    try {
      await store.write(key, jsonText({ epoch: lease.epoch, value }), found.condition)
      return value
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new TransientError(`${key} was moved by others ${MAX_ROUNDS} times in a row`)
}

interface Found<T> {
  epoch: number
  value: T | undefined
  condition: WriteCondition
}

async function find<T>(
  store: Store,
  key: string,
  schema: z.ZodType<{ epoch: number; value: T }>,
  mend?: (error: CorruptError) => Promise<T | undefined>,
): Promise<Found<T>> {
  const object = await store.read(key)
  if (object === undefined) return { epoch: 0, value: undefined, condition: { kind: 'absent' } }
  // Also where the bytes are broken: what is written over is these bytes and nothing newer.
  const condition: WriteCondition = { kind: 'matches', etag: object.etag }
  try {
    return { ...parseJson(object.bytes, `${key} in ${store.uri}`, schema), condition }
  } catch (error) {
    if (!(error instanceof CorruptError) || mend === undefined) throw error
    return { epoch: 0, value: await mend(error), condition }
  }
}
