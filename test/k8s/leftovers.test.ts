import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { identifyProcess } from '../../src/local/process-identity.ts'
import { folderPrefix, markFolder, sweepLeftovers } from '../support/cluster/leftovers.ts'

test('what a killed test run has left goes at the next start, and nothing of one that runs or is unknown', async (t) => {
  const folder = () => {
    const path = mkdtempSync(join(tmpdir(), `${folderPrefix}sweep-`))
    t.after(() => rmSync(path, { recursive: true, force: true }))
    return path
  }
  const [ofKilled, ofRunning, ofReused, ofNobody] = [folder(), folder(), folder(), folder()]
  const owner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  await once(owner, 'spawn')
  const identity = identifyProcess(owner.pid ?? 0)
  assert(identity)
  writeFileSync(join(ofKilled, 'owner.json'), JSON.stringify(identity))
  // Its process id has another process now.
  writeFileSync(join(ofReused, 'owner.json'), JSON.stringify({ ...identity, pid: process.pid }))
  await markFolder(ofRunning)
  await sweepLeftovers()
  assert.deepEqual([ofKilled, ofRunning, ofReused, ofNobody].map(existsSync), [true, true, false, true])
  const ended = once(owner, 'exit')
  owner.kill('SIGKILL')
  await ended
  await sweepLeftovers()
  assert.deepEqual([ofKilled, ofRunning, ofNobody].map(existsSync), [false, true, true])
})
