import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temperFolder, until, namesIn } from '../support/temper-cli.ts'

// As a person pauses a job: everything real but the size.

test(
  'a paused job saves its state, runs nothing, and resumed it goes on from there',
  { timeout: 600_000 },
  async (t) => {
    const folder = await temperFolder()
    t.after(() => folder.remove())
    const training = {
      // Long enough that a pause, which takes some seconds to be given, comes in the middle.
      train: { maxSteps: 1500, checkpoint: { everySteps: 50, everySeconds: 60, keepLast: 2 } },
    }
    const file = folder.job('rest', training)
    const running = folder.start('run', file, '--json')
    const checkpoints = join(folder.state, 'store', 'jobs', 'finetune-rest', 'training')
    await until('a checkpoint', () => namesIn(checkpoints).length > 0, running.said)

    const paused = await folder.temper('pause', 'rest')
    assert.equal(paused.code, 0, paused.stderr)
    assert.match(paused.stdout, /Job rest is paused, nothing is lost. Go on with: temper resume rest/)
    const end = await running.ended
    assert.match(end.stdout, /"state":"paused"/)
    assert.match((await folder.temper('status', 'rest')).stdout, /rest: paused[^]*train +paused/)
    assert.equal(existsSync(join(folder.state, 'server.json')), false, 'nothing runs')

    const resumed = await folder.temper('resume', 'rest')
    assert.equal(resumed.code, 0, resumed.stderr)
    assert.match(resumed.stdout, /Job rest goes on with the same temper run/)
    const again = await folder.temper('resume', 'rest')
    assert.equal(again.code, 2, 'it is paused no more')
    const { code, stderr } = await folder.temper('run', file, '--json')
    assert.equal(code, 0, stderr)
    assert.match(stderr, /went on from step \d+/)
  },
)
