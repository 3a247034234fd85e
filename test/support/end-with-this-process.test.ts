import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { identifyProcess } from '../../src/local/process-identity.ts'

const module = new URL('end-with-this-process.ts', import.meta.url).href
/** Starts a process that would outlive it, says its number, and waits to be told. */
const program = `
  import { spawn } from 'node:child_process'
  const { endWithThisProcess } = await import('${module}')
  const child = spawn('sleep', ['600'], { stdio: 'ignore', detached: true })
  const callOff = endWithThisProcess(child.pid)
  process.stdout.write(child.pid + '\\n')
  process.on('message', () => { callOff(); process.disconnect(); child.unref() })
`
const runs = (pid: number) => identifyProcess(pid) !== undefined

async function begun() {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const [line] = (await once(parent.stdout?.setEncoding('utf8') ?? parent, 'data')) as [string]
  const pid = Number(line)
  assert.ok(runs(pid))
  return { parent, pid, ended: once(parent, 'exit') }
}

test('what a test process has started ends with it, kill -9 included', async () => {
  const { parent, pid, ended } = await begun()
  parent.kill('SIGKILL')
  await ended
  while (runs(pid)) await sleep(20)
})

test('what was called off is left alone, and keeps no process waiting', async () => {
  const { parent, pid, ended } = await begun()
  parent.send('call off')
  assert.deepEqual(await ended, [0, null])
  assert.ok(runs(pid))
  process.kill(pid, 'SIGKILL')
})
