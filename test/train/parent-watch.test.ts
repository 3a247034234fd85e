import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { identifyProcess } from '../../src/local/process-identity.ts'

test('an orphan that is blocked in native code is gone as well', async (t) => {
  const script = fileURLToPath(new URL('blocked-process.ts', import.meta.url))
  const code = `require('node:child_process').spawn(process.execPath, [${JSON.stringify(script)}], { stdio: 'inherit' })`
  const parent = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => parent.kill('SIGKILL'))
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(line.toString())
  t.after(() => identifyProcess(pid) && process.kill(pid, 'SIGKILL'))
  await sleep(600)
  assert.ok(identifyProcess(pid), 'it lives while its parent lives')
  parent.kill('SIGKILL')
  for (let look = 0; identifyProcess(pid) && look < 50; look++) await sleep(100)
  assert.equal(identifyProcess(pid), undefined)
})
