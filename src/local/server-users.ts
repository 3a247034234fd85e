import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ProcessIdentity, identifyProcess, isRunning } from './process-identity.ts'
import type { StateFolder } from './state-folder.ts'

/** A temper process that needs the state folder's server. `works`: it runs a worker until it is stopped (`temper up`). */
export interface ServerUser extends ProcessIdentity {
  command: string
  works: boolean
}

/** Enters this process; the returned function takes it out again. */
export function enterServerUser(state: StateFolder, command: string, works: boolean): () => void {
  const identity = identifyProcess(process.pid)
  if (identity === undefined) throw new Error('this process does not find itself in the process table')
  const file = join(state.users, `${process.pid}.json`)
  const user: ServerUser = { ...identity, command, works }
  writeFileSync(file, JSON.stringify(user))
  return () => rmSync(file, { force: true })
}

/** All that run now. Entries of processes that were killed are removed on the way. */
export function serverUsers(state: StateFolder): ServerUser[] {
  return readdirSync(state.users).flatMap((name) => {
    const file = join(state.users, name)
    const user = readUser(file)
    if (user !== undefined && isRunning(user)) return [user]
    rmSync(file, { force: true })
    return []
  })
}

function readUser(file: string): ServerUser | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ServerUser
  } catch {
    return undefined
  }
}
