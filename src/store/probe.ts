import { randomBytes } from 'node:crypto'
import { ConflictError, InputError } from '../errors.ts'
import type { Store, WriteCondition } from './store.ts'

/**
 * Finds out, with an object of its own, whether a store can be written, read and listed, and whether it honours conditional
 * writes, on which everything here relies: a store that takes a write whose condition does not hold lets two owners write.
 * Throws InputError with the reason. To be called before a job begins.
 */
export async function probeStore(store: Store): Promise<void> {
  const key = `probe/${randomBytes(8).toString('hex')}`
  try {
    await tryOut(store, key)
  } catch (error) {
    await store.remove(key).catch(() => undefined) // The first error is the one to mend.
    throw error
  }
  await store.remove(key)
  if ((await store.head(key)) !== undefined) throw refused(store, 'still shows an object that was removed')
}

async function tryOut(store: Store, key: string): Promise<void> {
  const first = await store.write(key, 'first', { kind: 'absent' })
  await mustConflict(store, key, { kind: 'absent' }, 'If-None-Match: *')
  const read = await store.read(key)
  if (read === undefined || Buffer.from(read.bytes).toString() !== 'first' || read.etag !== first.etag) {
    throw refused(store, 'does not give back what was written into it')
  }
  const second = await store.write(key, 'second', { kind: 'matches', etag: first.etag })
  await mustConflict(store, key, { kind: 'matches', etag: first.etag }, 'If-Match')
  const head = await store.head(key)
  if (head?.etag !== second.etag) throw refused(store, 'shows an object that is not the one written last')
  const listed: string[] = []
  for await (const object of store.list('probe/')) listed.push(object.key)
  if (!listed.includes(key)) throw refused(store, 'does not list an object that was just written')
}

async function mustConflict(
  store: Store,
  key: string,
  condition: WriteCondition,
  name: string,
): Promise<void> {
  try {
    await store.write(key, 'must not be written', condition)
  } catch (error) {
    if (error instanceof ConflictError) return
    throw error
  }
  throw refused(store, `does not honour conditional writes (it took a write that ${name} forbids)`)
}

const refused = (store: Store, reason: string) =>
  new InputError(
    `the store ${store.uri} ${reason}; use an S3 server with conditional writes, or a local folder`,
  )
