import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** One to two minutes on two cores; every wait inside has a shorter limit of its own and says what it waited for. */
const LIMIT_MILLISECONDS = 15 * 60_000

test('npm run faults -- --quick: every fault ends with the adapter of an undisturbed run', async (t) => {
  const program = fileURLToPath(new URL('main.ts', import.meta.url))
  const child = spawn(process.execPath, [program, '--quick'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const limit = setTimeout(() => child.kill('SIGTERM'), LIMIT_MILLISECONDS)
  t.after(() => {
    clearTimeout(limit)
    child.kill('SIGTERM')
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 0, said)
  assert.match(said, /^[1-9]\d* passed, 0 failed\n$/m)
})
