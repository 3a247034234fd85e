import fsp from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { writeSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Preloaded into a child process: kills it with SIGKILL right before its DIE_AT-th call that changes a disk, or (DIE_HOW=half)
 * in the middle of that call's bytes, or stops it there with SIGSTOP (DIE_HOW=stop). DIE_ONLY=link counts only calls of that
 * function. Without DIE_AT it lets all happen and says at the end how many calls there were.
 */
const dieAt = Number(process.env['DIE_AT'] ?? Infinity)
const half = process.env['DIE_HOW'] === 'half'
let calls = 0

const only = process.env['DIE_ONLY']

function die(): void {
  if (process.env['DIE_HOW'] !== 'stop') process.kill(process.pid, 'SIGKILL')
  writeSync(1, 'stopping\n')
  process.kill(process.pid, 'SIGSTOP')
}
/** True where this is the call to die in. */
const reached = (name: string) => (only === undefined || only === name) && ++calls === dieAt

type Call = (...parameters: never[]) => Promise<unknown>
const functions = fsp as unknown as Record<string, Call>
for (const name of ['link', 'rename', 'rm', 'rmdir', 'mkdir', 'copyFile', 'open']) {
  const original = functions[name] as (...parameters: unknown[]) => Promise<unknown>
  functions[name] = async (...parameters: unknown[]) => {
    const changes = name !== 'open' || (typeof parameters[1] === 'string' && parameters[1] !== 'r')
    if (changes && reached(name)) {
      if (half && name === 'copyFile') {
        const bytes = await fsp.readFile(parameters[0] as string)
        await fsp.writeFile(parameters[1] as string, bytes.subarray(0, bytes.length / 2))
      }
      die()
    }
    return original(...parameters)
  }
}
const probe = await fsp.open(process.execPath, 'r')
const handles = Object.getPrototypeOf(probe) as FileHandle & Record<string, Call>
await probe.close()
for (const name of ['sync', 'writeFile']) {
  const original = handles[name] as (...parameters: unknown[]) => Promise<unknown>
  handles[name] = async function (this: FileHandle, ...parameters: unknown[]) {
    if (reached(name)) {
      const bytes = Buffer.from((parameters[0] as string | undefined) ?? '')
      if (half && name === 'writeFile') await this.write(bytes, 0, Math.floor(bytes.length / 2))
      die()
    }
    return original.apply(this, parameters)
  }
}
syncBuiltinESMExports()
process.on('exit', () => writeSync(1, `calls ${calls}\n`))
