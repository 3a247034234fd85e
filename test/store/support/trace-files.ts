import { writeSync } from 'node:fs'
import fsp from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Preloaded into a child process: says on standard output, as JSON lines between its own, what it does to a disk, in order:
 * writes and syncs by path, links and renames by both paths. What a power cut would leave follows from that order.
 */
export interface DiskEvent {
  event: 'write' | 'sync' | 'name'
  path: string
  /** Of `name`: what the path was linked or renamed from. */
  from?: string
}

const say = (event: DiskEvent) => writeSync(1, `${JSON.stringify(event)}\n`)
type Call = (...parameters: unknown[]) => Promise<unknown>
const functions = fsp as unknown as Record<string, Call>
const paths = new WeakMap<object, string>()

function patch(
  target: Record<string, Call>,
  name: string,
  after: (self: object, parameters: unknown[], result: unknown) => void,
): void {
  const original = target[name] as Call
  target[name] = async function (this: object, ...parameters: unknown[]) {
    const result = await original.apply(this, parameters)
    after(this, parameters, result)
    return result
  }
}
const probe = await fsp.open(process.execPath, 'r')
const handles = Object.getPrototypeOf(probe) as Record<string, Call>
await probe.close()
patch(functions, 'open', (_, [file], handle) => void paths.set(handle as FileHandle, String(file)))
patch(functions, 'copyFile', (_, [, to]) => void say({ event: 'write', path: String(to) }))
for (const name of ['link', 'rename']) {
  patch(functions, name, (_, [from, to]) => void say({ event: 'name', path: String(to), from: String(from) }))
}
patch(handles, 'writeFile', (handle) => void say({ event: 'write', path: paths.get(handle) ?? '' }))
patch(handles, 'sync', (handle) => void say({ event: 'sync', path: paths.get(handle) ?? '' }))
syncBuiltinESMExports()
