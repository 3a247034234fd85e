import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readAdapter } from '../../src/export/read-adapter.ts'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { jsonIn, namesIn, type TemperFolder, temperFolder, until } from '../support/temper-cli.ts'

// One folder, as one person uses it for a while: each test goes on from the one before.

interface ClosingLine {
  job: string
  state: string
  evalLossBefore: number
  evalLossAfter: number
  trainedTokens: number
  seconds: number
  artifacts: Record<'adapter' | 'merged' | 'gguf' | 'evaluation' | 'published', string>
}

describe('the commands', { timeout: 600_000 }, () => {
  let folder: TemperFolder
  let first: ClosingLine

  before(async () => {
    folder = await temperFolder()
  })
  after(() => folder.remove())

  /** Enough steps to be met while it trains. */
  const long = { train: { maxSteps: 4000, checkpoint: { everySteps: 50, everySeconds: 60, keepLast: 2 } } }
  const hasStep = (said: () => string) => () => /step [1-9][\d,]* of 4,000/.test(said())

  test('run: seven stages, a closing line, artifacts that load', async () => {
    const { code, stdout, stderr } = await folder.temper(
      'run',
      folder.job('first', { train: { maxSteps: 30 } }),
      '--json',
    )
    assert.equal(code, 0, stderr)
    for (const stage of ['clean', 'tokenize', 'train', 'evaluate', 'merge', 'quantize', 'publish']) {
      assert.match(stderr, new RegExp(`^${stage}: done`, 'm'))
    }
    assert.equal(stdout.trim().split('\n').length, 1, 'one line for the program that reads it')
    first = JSON.parse(stdout) as ClosingLine
    assert.equal(first.job, 'first')
    assert.equal(first.state, 'completed')
    assert(first.evalLossAfter < first.evalLossBefore, stdout)
    assert(first.trainedTokens > 0 && first.seconds > 0)
    assert.equal(readAdapter(first.artifacts.adapter).config.r, 4)
    for (const place of [first.artifacts.merged, first.artifacts.gguf]) {
      const model = openBaseModel(place)
      assert.equal(model.tokenizer?.eos.token, '<|im_end|>')
      model.close()
    }
    const card = readFileSync(join(first.artifacts.published, 'README.md'), 'utf8')
    assert.match(card, /# first, version 1/)
    assert(card.includes(first.evalLossAfter.toFixed(4)), 'the card says what was measured')
    assert.deepEqual(namesIn(join(folder.state, 'users')), [])
    assert.equal(
      existsSync(join(folder.state, 'server.json')),
      false,
      'the server went with the last command',
    )
  })

  test('run again: every stage is found, the same artifacts, a new version of the name', async () => {
    const { stdout, stderr } = await folder.temper('run', 'first.yaml', '--json')
    const again = JSON.parse(stdout) as ClosingLine
    for (const stage of ['clean', 'tokenize', 'train', 'evaluate', 'merge', 'quantize']) {
      assert.match(stderr, new RegExp(`^${stage}: skipped`, 'm'))
    }
    assert.equal(again.artifacts.adapter, first.artifacts.adapter)
    assert.match(again.artifacts.published, /versions\/2\//)
  })

  test('an edited spec: only what changed is done again', async () => {
    folder.job('first', { train: { maxSteps: 31 } })
    const { stderr } = await folder.temper('run', 'first.yaml', '--json')
    assert.match(stderr, /^tokenize: skipped/m)
    assert.match(stderr, /^train: done/m)
  })

  test('list, status and logs, with nothing running', async () => {
    const list = await folder.temper('list')
    assert.match(list.stdout, /^first +completed +publish /m)
    const status = await folder.temper('status', 'first', '--json')
    const { state, stages, artifacts } = JSON.parse(status.stdout) as {
      state: string
      stages: { name: string; state: string }[]
      artifacts: ClosingLine['artifacts']
    }
    assert.equal(state, 'completed')
    assert.deepEqual(
      stages.map((stage) => stage.name),
      ['model', 'clean', 'tokenize', 'train', 'evaluate', 'merge', 'quantize', 'publish'],
    )
    assert(existsSync(artifacts.gguf))
    const logs = await folder.temper('logs', 'first', '--stage', 'train')
    assert.match(logs.stdout, /child process started/)
    assert.doesNotMatch(logs.stdout, /plus one/, 'no text of a row')
    const nobody = await folder.temper('status', 'nobody')
    assert.equal(nobody.code, 2)
    assert.match(nobody.stderr, /^error: There is no job nobody: temper list shows those that are there\.$/m)
  })

  test('Ctrl-C: a checkpoint, a stop, and the same command goes on where it was', async () => {
    const file = folder.job('long', long)
    const running = folder.start('run', file)
    await until('the job', () => running.said().includes('train: started'), running.said)
    const jobs = join(folder.state, 'store', 'jobs', 'finetune-long', 'training')
    await until(
      'a checkpoint',
      () => namesIn(jobs).some((digest) => jsonIn(join(jobs, digest, 'latest.json'))),
      running.said,
    )
    running.child.kill('SIGINT')
    const { code, stdout } = await running.ended
    assert.equal(code, 130)
    assert.match(stdout, /Job long is stopped, nothing is lost\. Go on with: temper run long\.yaml\n$/)

    const edited = folder.job('long', { train: { ...long.train, learningRate: 2e-3 } })
    const other = await folder.temper('run', edited)
    assert.equal(other.code, 2)
    assert.match(
      other.stderr,
      /^error: Job long is under way with another spec: cancel it with "temper cancel long"/m,
    )
  })

  test('--detach, attaching, cancel and down', async () => {
    folder.job('long', long)
    const detached = await folder.temper('run', 'long.yaml', '--detach')
    assert.equal(detached.code, 0, detached.stderr)
    assert.match(detached.stdout, /A worker runs in the background \(process \d+\); "temper down" stops it\./)
    assert.match(detached.stdout, /Job long goes on\./)

    const logs = folder.start('logs', 'long', '-f')
    const attached = folder.start('run', 'long.yaml')
    await until('the progress of the other process', hasStep(attached.said), attached.said)
    attached.child.kill('SIGINT')
    const left = await attached.ended
    assert.equal(left.code, 130)
    assert.match(left.stdout, /Job long goes on without this command/)

    const cancelled = await folder.temper('cancel', 'long')
    assert.equal(cancelled.code, 0, cancelled.stderr)
    assert.match(cancelled.stdout, /Job long is cancelled\. What is finished is kept/)
    const ended = await logs.ended
    assert.equal(ended.code, 0, 'logs -f ends with the job')
    assert.match(ended.stdout, /checkpoint saved/)
    assert.match((await folder.temper('list')).stdout, /^long +cancelled +train /m)

    const down = await folder.temper('down')
    assert.match(down.stdout, /Stopped temper up \(process \d+\)/)
    assert.match((await folder.temper('down')).stdout, /No temper up runs for/)
    assert.equal(existsSync(join(folder.state, 'server.json')), false)
  })
})
