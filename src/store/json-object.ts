import type { z } from 'zod'
import { CorruptError } from '../errors.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Store } from './store.ts'

/** A small JSON object of the store, checked against its schema; CorruptError where it is something else. */
export async function readJson<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
): Promise<{ value: T; etag: string } | undefined> {
  const object = await store.read(key)
  if (object === undefined) return undefined
  return { value: parseJson(object.bytes, `${key} in ${store.uri}`, schema), etag: object.etag }
}

/** JSON bytes as a checked value; CorruptError, naming `where`, if they are something else. */
export function parseJson<T>(bytes: Uint8Array, where: string, schema: z.ZodType<T>): T {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new CorruptError(`${where} is not JSON (${(error as Error).message})`, { cause: error })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CorruptError(`${where} is not what it should be (${issue?.path.join('.')}: ${issue?.message})`)
}

/** One spelling for one value, laid out for people. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(JSON.parse(canonicalJson(value)), null, 2)}\n`
}
