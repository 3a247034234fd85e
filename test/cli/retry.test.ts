import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { namesIn, type TemperFolder, temperFolder } from '../support/temper-cli.ts'

// As a person begins a job again: everything real but the size.

interface Closing {
  artifacts: Record<string, string>
}

describe('temper retry', { timeout: 600_000 }, () => {
  let folder: TemperFolder
  let first: Closing
  let adapter: Buffer

  before(async () => {
    folder = await temperFolder()
    const train = { maxSteps: 60, checkpoint: { everySteps: 10, everySeconds: 600, keepLast: 100 } }
    const { code, stdout, stderr } = await folder.temper(
      'run',
      folder.job('again', { train, eval: { samples: 0 }, quantize: { formats: [] } }),
      '--json',
    )
    assert.equal(code, 0, stderr)
    first = JSON.parse(stdout) as Closing
    adapter = adapterOf(first)
  })
  after(() => folder.remove())

  test('does nothing again that is there, and publishes once more', async () => {
    const { code, stdout, stderr } = await folder.temper('retry', 'again', '--json')
    assert.equal(code, 0, stderr)
    assert.deepEqual(adapterOf(JSON.parse(stdout) as Closing), adapter)
    assert.equal(versions(), 2)
    assert.equal(committed('train'), 1)
  })

  test('from a stage: that one and those after it are made again', async () => {
    const before = committed('clean')
    const { code, stdout, stderr } = await folder.temper('retry', 'again', '--from-stage', 'merge', '--json')
    assert.equal(code, 0, stderr)
    const { artifacts } = JSON.parse(stdout) as Closing
    assert.notEqual(artifacts.merged, first.artifacts.merged, 'another attempt has made it')
    assert.equal(artifacts.adapter, first.artifacts.adapter)
    assert.equal(committed('clean'), before)
  })

  test('from a checkpoint: training goes on there, and ends with the same bits', async () => {
    const refused = await folder.temper('retry', 'again', '--checkpoint', '17')
    assert.equal(refused.code, 2, refused.stderr)
    // Which there are depends on how quick the store was.
    const [, step = ''] = /no checkpoint of step 17; there are those of (\d+)/.exec(refused.stderr) ?? []
    assert.match(step, /^\d0$/, refused.stderr)
    const { code, stdout, stderr } = await folder.temper('retry', 'again', '--checkpoint', step, '--json')
    assert.equal(code, 0, stderr)
    assert.match(stderr, new RegExp(`went on from step ${step}\\b`))
    const { artifacts } = JSON.parse(stdout) as Closing
    assert.notEqual(artifacts.adapter, first.artifacts.adapter)
    assert.deepEqual(adapterOf({ artifacts }), adapter)
  })

  test('is refused for a job that is not there, and for a stage that is none', async () => {
    const unknown = await folder.temper('retry', 'nobody')
    assert.equal(unknown.code, 2)
    assert.match(unknown.stderr, /There is no job nobody/)
    const misspelt = await folder.temper('retry', 'again', '--from-stage', 'tain')
    assert.equal(misspelt.code, 2)
    assert.match(misspelt.stderr, /model, clean, tokenize, train/)
  })

  /** Folders of attempts that have stored files of a stage. */
  function committed(stage: string): number {
    const root = join(folder.state, 'store', 'artifacts', stage)
    return namesIn(root).reduce(
      (sum, digest) => sum + namesIn(join(root, digest)).filter((name) => name !== 'manifest.json').length,
      0,
    )
  }

  function versions(): number {
    return namesIn(join(folder.state, 'store', 'models', 'again', 'versions')).length
  }
})

function adapterOf({ artifacts }: Closing): Buffer {
  return readFileSync(join(artifacts.adapter ?? '', 'adapter_model.safetensors'))
}
