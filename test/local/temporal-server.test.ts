import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { endProcess } from '../../src/local/end-process.ts'
import { identifyProcess, isRunning } from '../../src/local/process-identity.ts'
import { downloadCache, openStateFolder, type StateFolder } from '../../src/local/state-folder.ts'
import { useTemporalServer } from '../../src/local/temporal-server.ts'

const { TEMPORAL_ADDRESS: _, ...environment } = process.env

function use(state: StateFolder, port?: number) {
  return useTemporalServer(state, {
    environment,
    downloadCache: downloadCache(environment),
    command: 'a test',
    works: false,
    searchAttributes: { TemperJob: 'Keyword' },
    say: () => {},
    ...(port !== undefined && { port }),
  })
}

describe("a state folder's Temporal server", { timeout: 120_000 }, () => {
  let root: string
  let state: StateFolder

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'temper-local-'))
    state = openStateFolder({ TEMPER_HOME: root }, root)
  })
  after(() => rmSync(root, { recursive: true, force: true }))

  const record = () => JSON.parse(readFileSync(state.serverFile, 'utf8')) as { pid: number; started: string }

  test('is shared by those who ask at once, and stopped when the last has left', async () => {
    const first = await use(state)
    const pid = record()
    const second = await use(state)
    assert.equal(second.address, first.address)
    assert.deepEqual(record(), pid)
    await first.leave()
    // One process counts once: what stops the server is that nobody of the folder is entered any more.
    assert.equal(isRunning(pid), false)
    await second.leave()
  })

  test('is started anew where the recorded one was killed, or its process id belongs to somebody else', async () => {
    const killed = await use(state)
    const old = record()
    process.kill(old.pid, 'SIGKILL')
    while (isRunning(old)) await new Promise((resolve) => setTimeout(resolve, 20))
    const again = await use(state)
    assert.notEqual(record().pid, old.pid)
    await again.leave()
    await killed.leave()

    const bystander = spawn('sleep', ['60'])
    assert(bystander.pid)
    writeFileSync(
      state.serverFile,
      JSON.stringify({ pid: bystander.pid, started: 'long ago', port: 1, uiPort: 2 }),
    )
    const server = await use(state)
    assert.equal(bystander.exitCode, null, 'a stranger is left alone')
    await server.leave()
    bystander.kill()
  })

  test('refuses a port that another program has, in one sentence', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await assert.rejects(use(state, port), (error) => {
      assert(error instanceof InputError)
      assert.match(
        error.message,
        new RegExp(`^Port ${port} of 127\\.0\\.0\\.1 is in use by another program; .*--port\\.$`),
      )
      return true
    })
    other.close()
  })

  test('is not started where TEMPORAL_ADDRESS names one', async () => {
    const server = await useTemporalServer(state, {
      environment: { TEMPORAL_ADDRESS: 'temporal.example:7233' },
      downloadCache: root,
      command: 'a test',
      works: false,
      searchAttributes: {},
      say: () => assert.fail('nothing to say'),
    })
    assert.equal(server.address, 'temporal.example:7233')
    await server.leave()
  })
})

test('a process is recognised by its start, and ended though it does not listen', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while true; do sleep 0.1; done'])
  await once(child.stdout, 'data')
  assert(child.pid)
  const identity = identifyProcess(child.pid)
  assert(identity)
  assert.equal(isRunning({ ...identity, started: 'another time' }), false)
  await endProcess(identity, 300)
  assert.equal(isRunning(identity), false)
  assert.equal(identifyProcess(2 ** 22), undefined)
})
