import { z } from 'zod'
import type { CorruptError } from '../errors.ts'
import { movePointer } from './fenced-pointer.ts'
import { jsonText } from './json-object.ts'
import type { Lease } from './lease.ts'
import type { Store } from './store.ts'

/** `<step, 8 digits>-<epoch>`, and `-<n>` where an epoch saves the same step once more (a rewound trainer). */
const NAME = /^([0-9]{8,})-([1-9][0-9]*)(?:-([1-9][0-9]*))?$/

/** The checkpoints that may be resumed from, the newest first. What is not in this list does not exist. */
const listSchema = z.array(z.string().regex(NAME)).max(1000)

/** Where the checkpoints of one of a job's trainings lie; the digest is that of its inputs and settings. */
export const trainingPrefix = (jobId: string, digest: string): string => `jobs/${jobId}/training/${digest}`

export const checkpointName = (step: number, epoch: number, copy: number): string =>
  `${String(step).padStart(8, '0')}-${epoch}${copy > 1 ? `-${copy}` : ''}`

/** The step in a checkpoint's name. */
export const stepOf = (name: string): number => Number(NAME.exec(name)?.[1])
/** The lease epoch in a checkpoint's name. */
export const epochOf = (name: string): number => Number(NAME.exec(name)?.[2])

export const checkpointFolder = (prefix: string, name: string): string => `${prefix}/checkpoints/${name}`
export const checkpointManifest = (prefix: string, name: string): string =>
  `${checkpointFolder(prefix, name)}/manifest.json`
export const quarantineMark = (prefix: string, name: string): string =>
  `${checkpointFolder(prefix, name)}/quarantined.json`

/**
 * Moves `<prefix>/latest.json` under the lease. A pointer whose bytes are broken is put aside and made anew from the manifests
 * that are there; `onBroken` hears of it.
 */
export function moveLatest(
  store: Store,
  lease: Lease,
  prefix: string,
  next: (names: string[]) => string[],
  onBroken?: (reason: string) => void,
): Promise<string[]> {
  const key = `${prefix}/latest.json`
  return movePointer(
    store,
    lease,
    key,
    listSchema,
    (names) => next(names ?? []),
    async (error: CorruptError) => {
      const aside = `${prefix}/quarantined/latest-${lease.epoch}.json`
      const broken = await store.read(key)
      if (broken !== undefined) await store.write(aside, broken.bytes, { kind: 'overwrite' })
      onBroken?.(error.message)
      return savedCheckpoints(store, prefix)
    },
  )
}

/** Names of all folders that have anything in them, in no order that means anything. */
export async function checkpointFolders(store: Store, prefix: string): Promise<Map<string, string[]>> {
  const root = `${prefix}/checkpoints/`
  const folders = new Map<string, string[]>()
  for await (const { key } of store.list(root)) {
    const name = key.slice(root.length).split('/')[0] ?? ''
    if (NAME.test(name)) folders.set(name, [...(folders.get(name) ?? []), key])
  }
  return folders
}

/** Sets a checkpoint aside: it stays for whoever looks into the matter, is never resumed from and never pruned. */
export async function markQuarantined(
  store: Store,
  prefix: string,
  name: string,
  epoch: number,
  reason: string,
) {
  await store.write(quarantineMark(prefix, name), jsonText({ reason, epoch }), { kind: 'overwrite' })
}

/** Whole checkpoints by their manifests, the newest first: the highest step, of equal steps the latest epoch and copy. */
async function savedCheckpoints(store: Store, prefix: string): Promise<string[]> {
  const names: string[] = []
  for (const [name, keys] of await checkpointFolders(store, prefix)) {
    if (keys.includes(checkpointManifest(prefix, name)) && !keys.includes(quarantineMark(prefix, name)))
      names.push(name)
  }
  return names.sort((a, b) => compare(orderOf(b), orderOf(a)))
}

const orderOf = (name: string): number[] => (NAME.exec(name) ?? []).slice(1).map((part) => Number(part ?? 1))
const compare = (a: number[], b: number[]): number =>
  a.map((part, index) => part - (b[index] ?? 0)).find((difference) => difference !== 0) ?? 0
