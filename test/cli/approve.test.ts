import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { namesIn, type TemperFolder, temperFolder, until } from '../support/temper-cli.ts'

// As a person approves and rejects: everything real but the size.

describe('a job whose publication wants approval', { timeout: 600_000 }, () => {
  let folder: TemperFolder
  before(async () => {
    folder = await temperFolder()
  })
  after(() => folder.remove())

  const job = (name: string) => folder.job(name, { eval: { samples: 0 }, quantize: { formats: [] }, publish: { approval: 'required' } }) // prettier-ignore
  const versions = (name: string) => namesIn(join(folder.state, 'store', 'models', name, 'versions'))

  test('waits with nothing running, and is published when it is approved, with the words of who did', async () => {
    const file = job('asks')
    const run = await folder.temper('run', file, '--json')
    assert.equal(run.code, 0, run.stderr)
    assert.deepEqual(JSON.parse(run.stdout), { job: 'asks', state: 'waitingForApproval' })
    assert.match(run.stderr, /Job asks waits for approval, and nothing runs until then\. Publish it with: temper approve asks/) // prettier-ignore
    assert.equal(existsSync(join(folder.state, 'server.json')), false, 'nothing runs')
    assert.deepEqual(versions('asks'), [])
    const { stdout: status } = await folder.temper('status', 'asks')
    assert.match(status, /asks: waiting for approval[^]*publish +asking +waiting for approval since 20/)
    assert.match((await folder.temper('list')).stdout, /asks +waiting for approval +publish/)

    const again = await folder.temper('run', file, '--json')
    assert.deepEqual(JSON.parse(again.stdout), { job: 'asks', state: 'waitingForApproval' }, again.stderr)
    const approved = await folder.temper(
      'approve',
      'asks',
      '--by',
      'anna',
      '--comment',
      'reads well',
      '--json',
    )
    assert.equal(approved.code, 0, approved.stderr)
    const { state, artifacts } = JSON.parse(approved.stdout) as { state: string; artifacts: object }
    assert.equal(state, 'completed')
    assert('adapter' in artifacts)
    const folders = namesIn(join(folder.state, 'store', 'models', 'asks', 'versions', '1'))
    const [attempt = ''] = folders.filter((name) => name !== 'manifest.json')
    const card = readFileSync(join(folder.state, 'store', 'models', 'asks', 'versions', '1', attempt, 'README.md'), 'utf8') // prettier-ignore
    assert.match(card, /^Publication approved by anna: reads well \(20/m)
    assert.match((await folder.temper('status', 'asks')).stdout, /publish +done +asks version 1 · approved by anna: reads well/) // prettier-ignore

    const twice = await folder.temper('approve', 'asks')
    assert.equal(twice.code, 2)
    assert.match(twice.stderr, /Job asks was answered before, at 20.*: approved by anna: reads well\./)
  })

  test('survives the death of its worker, and is rejected', async () => {
    const started = await folder.temper('run', job('refused'), '--detach')
    assert.equal(started.code, 0, started.stderr)
    const [, pid = ''] = /\(process (\d+)\)/.exec(started.stdout) ?? []
    let state = ''
    while (!state.includes('refused: waiting for approval'))
      state = (await folder.temper('status', 'refused')).stdout
    process.kill(Number(pid), 'SIGKILL')
    await until('the end of the process', () => !existsSync(`/proc/${pid}/exe`))
    const rejected = await folder.temper('reject', 'refused', '--by', 'ben', '--comment', 'too long')
    assert.equal(rejected.code, 0, rejected.stderr)
    assert.match(rejected.stdout, /Job refused is rejected: nothing is published, what it has made stays\./)
    assert.deepEqual(versions('refused'), [])
    const { stdout } = await folder.temper('status', 'refused')
    // Made for the job before, with the same digests.
    assert.match(
      stdout,
      /refused: rejected[^]*merge +skipped[^]*publish +rejected +rejected by ben: too long/,
    )

    // Asked once more, with everything there: the other answer.
    const retried = await folder.temper('retry', 'refused', '--json')
    assert.match(retried.stdout, /"state":"waitingForApproval"/, retried.stderr)
    assert.match(retried.stderr, /train: skipped/)
    const approved = await folder.temper('approve', 'refused')
    assert.equal(approved.code, 0, approved.stderr)
    assert.match(approved.stdout, /published as refused version 1/)
  })

  test('is not asked by a name that nobody knows', async () => {
    const unknown = await folder.temper('approve', 'nobody')
    assert.equal(unknown.code, 2)
    assert.match(unknown.stderr, /There is no job nobody: temper list/)
  })
})
