import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { InputError } from '../errors.ts'
import { openFileStore } from './file-store.ts'
import type { S3Options } from './s3-client.ts'
import type { Store } from './store.ts'
import { unfencedStore } from './unfenced-store.ts'

/**
 * The store at `file:///absolute/folder` (made where it is not there) or `s3://bucket/prefix`. An S3 bucket is not asked for
 * before the first operation; probeStore asks.
 */
export async function openStore(uri: string, options: { s3?: S3Options } = {}): Promise<Store> {
  const wrong = (reason: string) =>
    new InputError(
      `the store ${JSON.stringify(uri)} ${reason}; write file:///absolute/folder or s3://bucket/prefix`,
    )
  const s3 = /^s3:\/\/([^/?#]*)(?:\/([^?#]*))?$/.exec(uri)
  if (s3 !== null) {
    // Loaded only here: the SDK takes longer to load than everything else a local job begins with.
    const { openS3Store } = await import('./s3-store.ts')
    const store = openS3Store(s3[1] ?? '', (s3[2] ?? '').replace(/\/$/, ''), options.s3)
    return isFenced() ? store : unfencedStore(store)
  }
  if (!uri.startsWith('file:///')) throw wrong('is of no known kind')
  let folder: string
  try {
    folder = fileURLToPath(uri)
  } catch (error) {
    throw wrong(`is no valid address (${(error as Error).message})`)
  }
  return openFileStore(path.resolve(folder))
}

function isFenced(): boolean {
  const fencing = process.env['TEMPER_STORE_FENCING']
  if (!fencing) return true
  if (fencing === 'none') return false
  throw new InputError(`TEMPER_STORE_FENCING can only be none, but is ${JSON.stringify(fencing)}; unset it`)
}
