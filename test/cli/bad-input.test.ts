import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  namesIn,
  type RunningCommand,
  type TemperFolder,
  temperFolder,
  until,
} from '../support/temper-cli.ts'

/** A safetensors file with this header and these bytes behind it. */
function safetensors(header: string, data = Buffer.alloc(0), claimed = header.length): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(claimed))
  return Buffer.concat([length, Buffer.from(header), data])
}

describe(
  'bad input is one clear sentence that names the place and the mend',
  { timeout: 300_000, concurrency: 3 },
  () => {
    let folder: TemperFolder
    let up: RunningCommand

    before(async () => {
      folder = await temperFolder()
      up = folder.start('up')
      await until('temper up', () => up.said().includes('Serving jobs'), up.said)
    })

    after(async () => {
      up.child.kill('SIGTERM')
      await up.ended
      folder.remove()
    })

    /** A copy of the model that is then spoilt. */
    function model(name: string, spoil: (dir: string) => void): { source: string } {
      const dir = join(folder.root, name)
      cpSync(join(folder.root, 'model'), dir, { recursive: true })
      spoil(dir)
      return { source: name }
    }

    function data(name: string, content: string | Buffer): { train: string[] } {
      writeFileSync(join(folder.root, name), content)
      return { train: [name] }
    }

    const cases: { name: string; job: () => string; says: RegExp; code?: number }[] = [
      {
        name: 'missing-data',
        job: () => folder.job('missing-data', { data: { train: ['nowhere.jsonl'] } }),
        says: /nowhere\.jsonl: there is no such file; check spec\.data/,
      },
      {
        name: 'empty-data',
        job: () => folder.job('empty-data', { data: data('empty.jsonl', '') }),
        says: /empty\.jsonl.*(empty|no row)/,
      },
      {
        name: 'no-utf8',
        job: () =>
          folder.job('no-utf8', {
            data: data('latin1.jsonl', Buffer.from('{"instruction":"caf\xe9","output":"x"}\n', 'latin1')),
          }),
        says: /latin1\.jsonl.*UTF-8/,
      },
      {
        name: 'cut-json',
        job: () =>
          folder.job('cut-json', {
            data: data('cut.jsonl', '{"instruction":"a","output":"b"}\n{"instruction":"c","outp'),
          }),
        says: /cut\.jsonl:2/,
      },
      {
        name: 'no-answer',
        job: () =>
          folder.job('no-answer', {
            data: data('answerless.jsonl', '{"instruction":"a","output":"b"}\n{"instruction":"c"}\n'),
          }),
        says: /answerless\.jsonl:2.*output/,
      },
      {
        name: 'all-too-long',
        job: () => folder.job('all-too-long', { data: { maxLength: 8 } }),
        says: /longer than .*maxLength/,
      },
      {
        name: 'no-model',
        job: () => folder.job('no-model', { model: { source: 'no-such-model' } }),
        says: /no-such-model: there is no such folder or file/,
      },
      {
        name: 'no-config',
        job: () =>
          folder.job('no-config', {
            model: model('without-config', (dir) => rmSync(join(dir, 'config.json'))),
          }),
        says: /without-config: has no config\.json; name the folder/,
      },
      {
        name: 'other-architecture',
        job: () =>
          folder.job('other-architecture', {
            model: model('mamba', (dir) => {
              const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as object
              writeFileSync(
                join(dir, 'config.json'),
                JSON.stringify({ ...config, architectures: ['MambaForCausalLM'] }),
              )
            }),
          }),
        says: /config\.json: the architecture "MambaForCausalLM" is not supported; supported are LlamaForCausalLM, Qwen2ForCausalLM/,
      },
      {
        name: 'long-header',
        job: () =>
          folder.job('long-header', {
            model: model('long-header', (dir) =>
              writeFileSync(join(dir, 'model.safetensors'), safetensors('{}', undefined, 1e6)),
            ),
          }),
        says: /model\.safetensors: the header claims 1000000 bytes, beyond the end of the file/,
      },
      {
        name: 'overlapping',
        job: () =>
          folder.job('overlapping', {
            model: model('overlapping', (dir) => {
              const tensor = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
              writeFileSync(
                join(dir, 'model.safetensors'),
                safetensors(JSON.stringify({ a: tensor, b: tensor }), Buffer.alloc(8)),
              )
            }),
          }),
        says: /model\.safetensors: tensor "b" begins at byte 0, inside the tensor before it/,
      },
      {
        name: 'bad-gguf',
        job: () => {
          writeFileSync(
            join(folder.root, 'bad.gguf'),
            Buffer.concat([Buffer.from('GGUF\x03\0\0\0'), Buffer.alloc(16, 0xff)]),
          )
          return folder.job('bad-gguf', { model: { source: 'bad.gguf' } })
        },
        says: /bad\.gguf: /,
      },
      {
        name: 'pickle',
        job: () => {
          const dir = join(folder.root, 'pickle')
          mkdirSync(dir)
          cpSync(join(folder.root, 'model', 'config.json'), join(dir, 'config.json'))
          writeFileSync(join(dir, 'pytorch_model.bin'), 'anything')
          return folder.job('pickle', { model: { source: 'pickle' } })
        },
        says: /pytorch_model\.bin.*pickle/,
      },
      {
        name: 'no-module',
        job: () => folder.job('no-module', { train: { targetModules: ['query_proj'] } }),
        says: /query_proj.*q_proj/,
      },
      {
        name: 'lossy',
        job: () => folder.job('lossy', { quantize: { maxLossIncrease: 0 } }),
        says: /gguf-q8_0: its evaluation loss [\d.]+ is [\d.]+ % above the merged model's [\d.]+, .*spec\.quantize\.maxLossIncrease/,
      },
      {
        name: 'nothing-learnt',
        job: () => folder.job('nothing-learnt', { train: { maxSteps: 1 } }),
        says: /the adapter changes nothing/,
      },
      {
        name: 'diverging',
        job: () =>
          folder.job('diverging', {
            model: model('not-finite', (dir) => {
              const path = join(dir, 'model.safetensors')
              const bytes = readFileSync(path)
              bytes.writeFloatLE(NaN, bytes.length - 4)
              writeFileSync(path, bytes)
            }),
          }),
        says: /not finite/,
        code: 1,
      },
    ]

    for (const { name, job, says, code: wantCode = 2 } of cases) {
      test(name, async () => {
        const { code, stdout, stderr } = await folder.temper('run', job())
        assert.equal(code, wantCode, stdout + stderr)
        assert.match(/^error: (.*)$/m.exec(stderr)?.[1] ?? '', says)
        assert.doesNotMatch(stdout + stderr, /\n {4}at |\.ts:\d+:\d+/)
        assert.deepEqual(namesIn(join(folder.state, 'store', 'models')), [], 'nothing is published')
      })
    }

    test('a spec with several errors: all of them, before anything is started', async () => {
      writeFileSync(
        join(folder.root, 'wrong.yaml'),
        'apiVersion: temper.dev/v1alpha1\nkind: FineTune\nmetadata: {name: wrong}\nspec:\n  model: {source: model}\n  data: {train: []}\n  train: {learningRat: 1, r: 0}\n',
      )
      const { code, stderr } = await folder.temper('run', 'wrong.yaml')
      assert.equal(code, 2)
      for (const words of [
        'wrong.yaml has 3 errors',
        'spec.data.train',
        'spec.train.r',
        'did you mean learningRate?',
      ]) {
        assert(stderr.includes(words), stderr)
      }
      const missing = await folder.temper('run', 'no-such-job.yaml')
      assert.equal(missing.code, 2)
      assert.match(missing.stderr, /^error: no-such-job\.yaml: there is no such file/)
    })
  },
)
