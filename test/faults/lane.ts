import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Connection } from '@temporalio/client'
import { identifyProcess } from '../../src/local/process-identity.ts'
import { downloadCache, openStateFolder } from '../../src/local/state-folder.ts'
import { useTemporalServer } from '../../src/local/temporal-server.ts'
import { JOB_ATTRIBUTE, STAGE_ATTRIBUTE } from '../../workflows/job.ts'
import { endWithThisProcess } from '../support/end-with-this-process.ts'
import { jsonIn } from '../support/temper-cli.ts'

/** A Temporal server of its own with its database in a file: cases of one lane run one after the other, lanes side by side. */
export interface Lane {
  address: string
  client: Client
  /** Rejects when the server has ended and no case has killed it. */
  gone: Promise<never>
  /** kill -9, and a new server over the same file. */
  killTemporal(): Promise<void>
  close(): Promise<void>
}

const LOOK_MILLISECONDS = 500
const MAX_STARTS = 60

/** A port without a listener may be held for a moment by one of those who try to connect to it. */
async function startAgain<T>(start: () => Promise<T>): Promise<T> {
  for (let starts = 1; ; starts++) {
    try {
      return await start()
    } catch (error) {
      if (starts === MAX_STARTS) throw error
      await sleep(LOOK_MILLISECONDS)
    }
  }
}

export async function openLane(): Promise<Lane> {
  const root = mkdtempSync(join(tmpdir(), 'temper-faults-lane-'))
  const state = openStateFolder({ TEMPER_HOME: root }, root)
  const { TEMPORAL_ADDRESS: _, ...environment } = process.env
  const start = (port?: number) =>
    useTemporalServer(state, {
      environment,
      downloadCache: downloadCache(environment),
      command: 'faults',
      works: false,
      searchAttributes: { [JOB_ATTRIBUTE]: 'Keyword', [STAGE_ATTRIBUTE]: 'Keyword' },
      say: () => {},
      ...(port !== undefined && { port }),
    })
  let server = await start()
  const { address } = server
  const gone = Promise.withResolvers<never>()
  // Heard by whoever waits for a job.
  gone.promise.catch(() => {})
  const serverPid = () => (jsonIn(state.serverFile) as { pid: number } | undefined)?.pid ?? 0
  let isMeant = false
  let leaveIt = endWithThisProcess(serverPid())
  const watch = setInterval(() => {
    if (!isMeant && identifyProcess(serverPid()) === undefined)
      gone.reject(new Error(`the Temporal server has ended; its log: ${state.logs}`))
  }, LOOK_MILLISECONDS)
  const connection = await Connection.connect({ address })
  return {
    address,
    client: new Client({ connection }),
    gone: gone.promise,
    async killTemporal() {
      const pid = serverPid()
      isMeant = true
      leaveIt()
      process.kill(pid, 'SIGKILL')
      while (identifyProcess(pid) !== undefined) await sleep(20)
      server = await startAgain(() => start(Number(address.split(':')[1])))
      leaveIt = endWithThisProcess(serverPid())
      isMeant = false
    },
    async close() {
      clearInterval(watch)
      await connection.close()
      leaveIt()
      await server.leave()
      rmSync(root, { recursive: true, force: true })
    },
  }
}
