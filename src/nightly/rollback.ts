import { InputError } from '../errors.ts'
import { currentVersion, listVersions, moveName } from '../store/model-registry.ts'
import type { Store } from '../store/store.ts'
import { writeRecord } from './night-record.ts'

/**
 * Lets the name stand for an earlier version, by default the one published before the current one. One compare-and-swap:
 * a reader sees the one or the other. `at` is when, `id` names the act.
 */
export async function rollback(
  store: Store,
  name: string,
  version: number | undefined,
  { at, id }: { at: Date; id: string },
): Promise<{ from: number; to: number }> {
  const current = await currentVersion(store, name)
  if (current === undefined) throw new InputError(`${name}: nothing is published under this name.`)
  const from = current.version
  const to = version ?? (await listVersions(store, name)).findLast((each) => each.version < from)?.version
  if (to === undefined)
    throw new InputError(`${name}: version ${from} is the first, there is none before it.`)
  if (to === from) throw new InputError(`${name} stands for version ${from} already.`)
  await moveName(store, name, to)
  const why = `Moved by hand from version ${from} to ${to}.`
  await writeRecord(store, id, { name, at: at.toISOString(), end: 'rolledBack', from, version: to, why })
  return { from, to }
}
