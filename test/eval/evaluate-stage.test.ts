import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { writeTokenizedRows } from '../../src/data/tokenized-rows.ts'
import { InputError, StoppedError } from '../../src/errors.ts'
import { type EvaluateStage, evaluateStage } from '../../src/eval/evaluate-stage.ts'
import type { Evaluation } from '../../src/eval/evaluate-task.ts'
import type { Progress } from '../../src/train/child-protocol.ts'
import { monotonicClock } from '../../src/train/clock.ts'
import { trainStage } from '../../src/train/train-stage.ts'
import { openStore } from '../../src/store/open-store.ts'
import { writeTinyModel } from '../support/tiny-model.ts'
import { trainSettings } from '../train/settings.ts'
import { writeGoldenRows } from './golden-rows.ts'

const options = () => ({ signal: new AbortController().signal, clock: monotonicClock })

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'temper-eval-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  for (const name of ['scratch', 'out', 'tokenized']) await mkdir(join(dir, name))
  return dir
}

function stageIn<Name extends string>(
  dir: string,
  models: EvaluateStage<Name>['models'],
): EvaluateStage<Name> {
  return {
    models,
    tokenizedDir: join(dir, 'tokenized'),
    settings: { samples: 0, maxNewTokens: 8, batchSize: 2 },
    stopTokenIds: [],
    layout: 'by-layer',
    threads: 1,
    scratchDir: join(dir, 'scratch'),
    outDir: join(dir, 'out'),
  }
}

for (const name of ['tiny-qwen2', 'tiny-llama'])
  test(`loss and token accuracy of ${name} with its adapter are PyTorch's`, async (t) => {
    const dir = await folder(t)
    const golden = fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url))
    const expected = JSON.parse(await readFile(join(golden, 'expected.json'), 'utf8')) as { loss: number }
    const { targets, firstChoices } = await writeGoldenRows(golden, join(dir, 'tokenized'))
    const adapterDir = join(dir, 'tokenized', 'adapter')
    const stage = stageIn(dir, { base: { path: golden }, tuned: { path: golden, adapterDir } })
    const { summary } = await evaluateStage(stage, options())
    const { base, tuned } = summary.models
    assert.ok(Math.abs(tuned.loss / expected.loss - 1) < 1e-5, `${tuned.loss} is not ${expected.loss}`)
    assert.equal(tuned.tokens, targets)
    assert.equal(tuned.tokenAccuracy, firstChoices / targets)
    assert.equal(tuned.perplexity, Math.exp(tuned.loss))
    assert.ok(Math.abs(base.loss - tuned.loss) > 1e-3, 'the base was evaluated without the adapter')
  })

/** A prompt and its answer in the tiny model's bytes, as the tokenize stage would have written them. */
async function writeQuestions(
  dir: string,
  model: string,
  count = 4,
): Promise<{ answer: string; stop: number }> {
  const { tokenizer, close } = openBaseModel(model)
  assert.ok(tokenizer)
  const [prompt, answer] = ['<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n', 'cdcd']
  const promptIds = tokenizer.encode(prompt)
  const answerIds = tokenizer.encode(`${answer}<|im_end|>`)
  const row = Int32Array.from([...promptIds, ...answerIds])
  const mask = Uint8Array.from(row, (_, t) => (t >= promptIds.length ? 1 : 0))
  const rows = { count, ids: () => row, lossMask: () => mask }
  await writeTokenizedRows(join(dir, 'train.safetensors'), rows)
  await writeTokenizedRows(join(dir, 'eval.safetensors'), rows)
  const ids = Array.from({ length: count }, (_, i) => `q${i}`)
  await writeFile(join(dir, 'rows.json'), JSON.stringify({ train: ids, eval: ids }))
  const samples = ids.map((id) => ({ id, question: 'ab', prompt, promptIds, reference: answer }))
  await writeFile(join(dir, 'samples.json'), JSON.stringify(samples))
  close()
  return { answer, stop: answerIds.at(-1) as number }
}

test('base and tuned answer the same questions side by side, and the tuned one has learnt the answer', async (t) => {
  const dir = await folder(t)
  const model = join(dir, 'model')
  await writeTinyModel(model)
  const { answer, stop } = await writeQuestions(join(dir, 'tokenized'), model)
  for (const name of ['train-scratch', 'adapter']) await mkdir(join(dir, name))
  await trainStage(
    {
      modelPath: model,
      origin: { baseModel: 'tiny' },
      tokenizedDir: join(dir, 'tokenized'),
      settings: trainSettings({ learningRate: 0.01, maxSteps: 40 }),
      store: await openStore(`file://${join(dir, 'store')}`),
      jobId: 'tiny',
      digest: 'd1',
      attempt: 'a1',
      scratchDir: join(dir, 'train-scratch'),
      outDir: join(dir, 'adapter'),
    },
    options(),
  )
  const stage = {
    ...stageIn(dir, { base: { path: model }, tuned: { path: model, adapterDir: join(dir, 'adapter') } }),
    settings: { samples: 3, maxNewTokens: 12, batchSize: 3 },
    stopTokenIds: [stop],
  }
  const reports: Progress[] = []
  const { files, summary } = await evaluateStage(stage, {
    ...options(),
    onProgress: (progress) => reports.push(progress),
  })
  assert.deepEqual(files, await readdir(stage.outDir))
  assert.equal(summary.rows, 4)
  assert.ok(summary.models.tuned.loss < 0.1 * summary.models.base.loss)
  assert.equal(summary.models.tuned.tokenAccuracy, 1)
  const evaluation = JSON.parse(await readFile(join(stage.outDir, 'evaluation.json'), 'utf8')) as Evaluation
  assert.deepEqual(evaluation.models, summary.models)
  assert.deepEqual(
    evaluation.samples.map(({ id, question, reference }) => ({ id, question, reference })),
    ['q0', 'q1', 'q2'].map((id) => ({ id, question: 'ab', reference: answer })),
  )
  for (const { answers } of evaluation.samples) {
    assert.deepEqual(Object.keys(answers), ['base', 'tuned'])
    assert.equal(answers.tuned, answer)
    assert.notEqual(answers.base, answer)
  }
  // Two models, two batches and three questions each.
  assert.equal(reports[0]?.steps, 10)
})

test('a model without a tokenizer cannot answer, and the user hears it in one sentence', async (t) => {
  const dir = await folder(t)
  const model = join(dir, 'model')
  await writeTinyModel(model)
  await writeQuestions(join(dir, 'tokenized'), model)
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) await rm(join(model, name))
  const stage = {
    ...stageIn(dir, { base: { path: model } }),
    settings: { samples: 1, maxNewTokens: 8, batchSize: 2 },
  }
  await assert.rejects(
    evaluateStage(stage, options()),
    (error) => error instanceof InputError && /spec\.eval\.samples/.test(error.message),
  )
  assert.deepEqual(await readdir(stage.outDir), [])
})

test('a stopped evaluation leaves nothing behind', async (t) => {
  const dir = await folder(t)
  const model = join(dir, 'model')
  await writeTinyModel(model)
  await writeQuestions(join(dir, 'tokenized'), model, 500)
  const stop = new AbortController()
  const stage = {
    ...stageIn(dir, { base: { path: model } }),
    settings: { samples: 0, maxNewTokens: 8, batchSize: 1 },
  }
  const onProgress = () => stop.abort('the test')
  await assert.rejects(evaluateStage(stage, { ...options(), signal: stop.signal, onProgress }), StoppedError)
  assert.deepEqual(await readdir(stage.outDir), [])
})
