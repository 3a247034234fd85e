import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { debianMissing, unpackDebianPackages } from '../support/cluster/debian-tools.ts'
import { cachedFolder } from '../support/cluster/tool-cache.ts'
import { NotPossibleHere } from './fault-case.ts'

/**
 * The environment in which a process and all that it starts, native code included, have another time of day; their timers run as
 * ever. By libfaketime of the machine's own Debian, unpacked beside the other test tools. NotPossibleHere where it can't be had.
 */
export async function fakeTime(hours: number): Promise<Record<string, string>> {
  const missing = await debianMissing()
  if (missing !== undefined) throw new NotPossibleHere(`libfaketime can't be had: ${missing}`)
  let folder: string
  try {
    folder = await cachedFolder('libfaketime-debian', (fresh) => unpackDebianPackages(['libfaketime'], fresh))
  } catch (error) {
    throw new NotPossibleHere(`libfaketime can't be had: ${String(error)}`)
  }
  const files = await readdir(folder, { recursive: true })
  const library = files.find((name) => name.endsWith('libfaketimeMT.so.1'))
  if (library === undefined) throw new NotPossibleHere('the package libfaketime holds no libfaketimeMT.so.1')
  return {
    LD_PRELOAD: join(folder, library),
    FAKETIME: `${hours > 0 ? '+' : ''}${hours}h`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
