import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { downloadCache, openStateFolder, type StateFolder } from '../../src/local/state-folder.ts'
import { useTemporalServer } from '../../src/local/temporal-server.ts'
import { JOB_ATTRIBUTE, STAGE_ATTRIBUTE } from '../../workflows/job.ts'
import { endWithThisProcess } from './end-with-this-process.ts'
import { jsonIn } from './temper-cli.ts'

export interface TestTemporal {
  /** host:port */
  address: string
  state: StateFolder
  stop(): Promise<void>
}

/** A real Temporal server of the test's own: had as the product has it, on free ports, with a state folder that is deleted. */
export async function startTemporal(): Promise<TestTemporal> {
  const root = await mkdtemp(join(tmpdir(), 'temper-test-'))
  const state = openStateFolder({ TEMPER_HOME: root }, root)
  const { TEMPORAL_ADDRESS: _, ...environment } = process.env
  const server = await useTemporalServer(state, {
    environment,
    downloadCache: downloadCache(environment),
    command: 'a test',
    works: false,
    searchAttributes: { [JOB_ATTRIBUTE]: 'Keyword', [STAGE_ATTRIBUTE]: 'Keyword' },
    say: () => {},
  })
  const { pid } = jsonIn(state.serverFile) as { pid: number }
  const callOff = endWithThisProcess(pid)
  return {
    address: server.address,
    state,
    async stop() {
      callOff()
      await server.leave()
      await rm(root, { recursive: true, force: true })
    },
  }
}
