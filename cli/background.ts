import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Session } from './session.ts'

/** Said by `temper up` to whoever started it in the background. */
export type BackgroundMessage = { type: 'ready' }

/** Starts `temper up` as a process that outlives this one. Resolves with its process id when its worker is there. */
export function startInBackground(session: Session): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const logFile = join(session.state.logs, 'up.log')
  const log = openSync(logFile, 'a')
  const entry = fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url))
  const child = spawn(process.execPath, [entry, 'up'], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, TEMPER_HOME: session.state.root },
  })
  closeSync(log)
  child.on('error', reject)
  child.on('exit', () => reject(new Error(`temper up did not start in the background; its log: ${logFile}`)))
  child.on('message', (message: BackgroundMessage) => {
    if (message.type !== 'ready' || child.pid === undefined) return
    child.removeAllListeners('exit')
    child.disconnect()
    child.unref()
    resolve(child.pid)
  })
  return promise
}
