import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { artifactPlaces } from '../../cli/artifact-places.ts'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { InputError } from '../../src/errors.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import { clean } from '../../src/stages/clean.ts'
import { evaluate } from '../../src/stages/evaluate.ts'
import type { FineTuneSummary } from '../../src/stages/fine-tune-summary.ts'
import { merge } from '../../src/stages/merge.ts'
import { openInput } from '../../src/stages/open-input.ts'
import { publish } from '../../src/stages/publish.ts'
import { quantize } from '../../src/stages/quantize.ts'
import { resolveModel } from '../../src/stages/resolve-model.ts'
import { tokenize } from '../../src/stages/tokenize.ts'
import { train } from '../../src/stages/train.ts'
import { stageContext } from '../support/stage-context.ts'
import { writeTinyModel } from '../support/tiny-model.ts'
import { killedAndResumed } from './killed-and-resumed.ts'
import { TinyTraining } from './tiny-training.ts'

for (const optim of ['adamw_torch', 'adamw_8bit'] as const)
  test(`killed with method full and ${optim}, the job ends with the same weights, bit for bit`, async (t) => {
    const change = { method: 'full', optim, learningRate: 1e-3 } as const
    const { undisturbed } = await killedAndResumed(t, change)
    assert.ok((undisturbed.summary.lastLoss as number) < 0.9 * (undisturbed.summary.firstLoss as number))
  })

test('training that changed no weight is an error, a rehearsal of no steps is none', async (t) => {
  const training = await TinyTraining.create(t)
  const change = { method: 'full', learningRate: 1e-30, maxSteps: 1, evalStrategy: 'no' } as const
  await assert.rejects(training.attempt({}, { ...change, loadBestModelAtEnd: false }), (error) => {
    assert.ok(error instanceof InputError)
    assert.match(error.message, /training has changed no weight/)
    return true
  })
})

test('all stages with method full: evaluated, rounded to the job’s format, quantised, published as a whole model', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'temper-full-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const model = join(folder, 'model')
  await writeTinyModel(model)
  const rows = Array.from({ length: 40 }, (_, i) => JSON.stringify({ prompt: `Say ${i}`, completion: `${i} is said.` })) // prettier-ignore
  await writeFile(join(folder, 'rows.jsonl'), rows.join('\n'))
  const { spec } = parseFineTune(
    {
      apiVersion: 'temper.dev/v1alpha1',
      kind: 'FineTune',
      metadata: { name: 'whole' },
      spec: {
        model: { source: model },
        data: { train: [join(folder, 'rows.jsonl')], maxLength: 64 },
        train: { method: 'full', learningRate: 3e-3, threads: 1, maxSteps: 12, warmupSteps: 0 },
        eval: { samples: 1, maxNewTokens: 4 },
        merge: { dtype: 'BF16' },
        quantize: { maxLossIncrease: 1 },
      },
    },
    'a test',
  )
  const at = { jobId: 'whole', attempt: 1 }
  const next = () => stageContext(folder)
  const { summary: base } = await resolveModel(await next(), { ...at, model: spec.model, train: spec.train, maxLength: 64 }) // prettier-ignore
  const cleaned = await clean(await next(), { ...at, data: spec.data })
  const tokenized = (await tokenize(await next(), { ...at, base, clean: cleaned.ref, data: spec.data })).ref
  const { ref: adapter } = await train(await next(), { ...at, base, tokenized })
  const evaluated = await evaluate(await next(), { ...at, base, tokenized, adapter, settings: spec.eval })
  const { tuned } = evaluated.summary
  const fewer = { ...spec.eval, batchSize: 1 }
  const again = await evaluate(await next(), { ...at, base, tokenized, adapter, settings: fewer })
  assert.deepEqual(
    [again.skipped, again.ref],
    [true, evaluated.ref],
    'fewer rows at once are the same evaluation',
  )
  assert.ok(tuned.loss < evaluated.summary.base.loss, JSON.stringify(evaluated.summary))
  const merged = await merge(await next(), { ...at, base, tokenized, adapter, settings: spec.merge, batchSize: 4, tunedLoss: tuned.loss }) // prettier-ignore
  assert.equal(merged.summary.dtype, 'BF16')
  const quantized = await quantize(await next(), { ...at, base, tokenized, merged: merged.ref, settings: spec.quantize, batchSize: 4, name: 'whole' }) // prettier-ignore
  assert.ok(quantized.ref)

  const artifacts = { clean: cleaned.ref, tokenized, adapter, evaluation: evaluated.ref, merged: merged.ref, quantized: quantized.ref } // prettier-ignore
  const published = await publish(await next(), { ...at, name: 'whole', publication: 'p', base, dataFiles: ['rows.jsonl'], artifacts }) // prettier-ignore
  const place = published.summary.place.replace(/^file:\/\//, '')
  const files = await readdir(place)
  for (const name of [
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'metrics.jsonl',
    'whole.Q8_0.gguf',
    'README.md',
  ])
    // prettier-ignore
    assert.ok(files.includes(name), `${name} is not among ${files.join(', ')}`)
  assert.ok(!files.some((name) => name.startsWith('adapter')))
  const card = await readFile(join(place, 'README.md'), 'utf8')
  assert.match(card, /fine-tuned in all its weights by Temper/)
  assert.doesNotMatch(card, /loraAlpha|\[lora/)

  const places = await artifactPlaces((await next()).store, { artifacts } as FineTuneSummary)
  assert.deepEqual(Object.keys(places), ['trained', 'merged', 'gguf', 'evaluation'])

  // What is published are the trained weights in 16 bits, and what was trained differs everywhere from the base.
  const [was, is, trained] = [model, place, (await openInput(await next(), adapter)).dir].map(openBaseModel)
  for (const name of trained?.weights.infos.keys() ?? []) {
    const values = trained?.weights.float32(name) ?? new Float32Array()
    assert.notDeepEqual(values, was?.weights.float32(name), name)
    const rounded = is?.weights.float32(name) ?? new Float32Array()
    assert.ok(values.every((value, i) => Math.abs(value - (rounded[i] as number)) <= Math.abs(value) / 128), name) // prettier-ignore
  }
  assert.equal(trained?.weights.infos.size, was?.weights.infos.size)
  for (const opened of [was, is, trained]) opened?.close()

  // A night that goes on from there begins with these weights: without a step they are what comes out.
  const still = { ...base, training: { ...base.training, maxSteps: 0 } }
  const further = await train(await next(), {
    ...at,
    jobId: 'further',
    base: still,
    tokenized,
    continueFrom: adapter,
  })
  const weightsOf = async (ref: typeof adapter) => readFile(join((await openInput(await next(), ref)).dir, 'model.safetensors')) // prettier-ignore
  assert.ok((await weightsOf(further.ref)).equals(await weightsOf(adapter)))
})
