import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where everything of one installation on this machine lies. Deleting `root` forgets all jobs and artifacts. */
export interface StateFolder {
  /** Absolute. `.temper` in the working folder, or TEMPER_HOME. */
  root: string
  /** Temporal's SQLite file: the histories of all jobs. */
  temporalDatabase: string
  /** The store of artifacts where no other is named (file://). */
  store: string
  /** Working copies: scratch folders of running stages, artifacts fetched from a remote store. May be deleted while nothing runs. */
  cache: string
  logs: string
  /** Which Temporal server belongs to this folder. */
  serverFile: string
  /** One file for each process that needs that server: the last one to leave stops it. */
  users: string
}

type Environment = Record<string, string | undefined>

export function openStateFolder(environment: Environment, workingFolder: string): StateFolder {
  const root = resolve(workingFolder, environment.TEMPER_HOME || '.temper')
  const state = {
    root,
    temporalDatabase: join(root, 'temporal.db'),
    store: join(root, 'store'),
    cache: join(root, 'cache'),
    logs: join(root, 'logs'),
    serverFile: join(root, 'server.json'),
    users: join(root, 'users'),
  }
  for (const folder of [state.root, state.store, state.cache, state.logs, state.users]) {
    mkdirSync(folder, { recursive: true })
  }
  return state
}

/** Downloads that any state folder of this user can share: the Temporal binary, base models. Not created here. */
export function downloadCache(environment: Environment): string {
  if (environment.TEMPER_CACHE) return resolve(environment.TEMPER_CACHE)
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'temper')
}
