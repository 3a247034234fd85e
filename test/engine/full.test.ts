import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { modelTensors } from '../../src/base/model-tensors.ts'
import { AdamW } from '../../src/train/adamw.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import type { Engine, EngineOptions } from '../../src/train/engine.ts'
import { scaleGradients } from '../../src/train/gradient-clipping.ts'
import { GOLDEN_TOLERANCE, relativeError, train, worstNumber, worstTensor } from '../../scripts/golden-check.ts' // prettier-ignore
import { readExpected, readFloats, readPadded, readTrainingBatches } from '../../scripts/golden-files.ts'
import { type FullName, goldenDir } from './tiny-engine.ts'

const NAMES: FullName[] = ['tiny-qwen2-full', 'tiny-llama-full', 'tiny-qwen3-full']

async function withEngine(
  name: FullName,
  use: (engine: Engine) => Promise<void>,
  options: Partial<EngineOptions> = {},
): Promise<void> {
  const { config, weights, close } = openBaseModel(goldenDir(name))
  const engine = await createEngine({ config, weights, adapter: 'all-weights', layout: 'by-layer', threads: 2, ...options }) // prettier-ignore
  try {
    await use(engine)
  } finally {
    await engine.dispose()
    close()
  }
}

for (const name of NAMES)
  for (const checkpointing of ['selective', 'full', 'none'] as const)
    test(`${name}, ${checkpointing}: PyTorch's loss, all gradients, and weights after four AdamW steps`, () =>
      withEngine(
        name,
        async (engine) => {
          const dir = goldenDir(name)
          const { loss, training } = readExpected(dir)
          const { config } = openBaseModel(dir)
          assert.deepEqual(
            new Set(engine.trained.tensors.keys()),
            new Set(modelTensors(config).map((tensor) => tensor.name)),
          )
          const { batch } = readPadded(dir)
          const { lossSum, tokens } = await engine.accumulate(batch)
          assert.ok(relativeError([lossSum / tokens], [loss]) < GOLDEN_TOLERANCE)
          scaleGradients(engine.gradients, 1 / tokens)
          const wanted = readFloats(dir, 'gradients')
          assert.equal(wanted.size, engine.gradients.size)
          for (const [tensor, values] of wanted) {
            const error = relativeError(engine.gradients.get(tensor) ?? [], values)
            assert.ok(error < GOLDEN_TOLERANCE, `${tensor}: ${error}`)
          }
          const { losses, norms } = await train(engine, readTrainingBatches(dir), training)
          assert.ok(worstNumber(losses, training.losses) < GOLDEN_TOLERANCE)
          assert.ok(worstNumber(norms, training.gradient_norms) < GOLDEN_TOLERANCE)
          const weights = new Map(Array.from(engine.trained.tensors, ([tensor, { data }]) => [tensor, data]))
          const error = worstTensor(weights, readFloats(dir, 'weights_after_4_steps'))
          assert.ok(error < GOLDEN_TOLERANCE, String(error))
          // The optimizer moves the very weights that the next pass, the evaluation and the decoder see.
          const { lossSum: evaluated } = await engine.evaluate(batch)
          assert.notEqual(evaluated, lossSum)
          assert.ok(relativeError([evaluated], [(await engine.accumulate(batch)).lossSum]) < 1e-5)
        },
        { checkpointing },
      ))

test('gradients are the slopes of the loss, with label smoothing too', async () => {
  const regularization = { labelSmoothing: 0.2, neftuneNoiseAlpha: 0 }
  await withEngine(
    'tiny-llama-full',
    async (engine) => {
      const { batch } = readPadded(goldenDir('tiny-llama-full'))
      await engine.accumulate(batch)
      const gradients = new Map(Array.from(engine.gradients, ([name, values]) => [name, values.slice()]))
      for (const [name, { data }] of engine.trained.tensors) {
        const gradient = gradients.get(name) as Float32Array
        // The largest slope of the tensor: a difference of float32 losses has too few digits for the small ones.
        const at = gradient.reduce((best, g, i) => (Math.abs(g) > Math.abs(gradient[best] as number) ? i : best), 0) // prettier-ignore
        const [value, step] = [data[at] as number, 1e-2]
        const lossAt = async (moved: number) => {
          data[at] = moved
          return (await engine.accumulate(batch)).lossSum
        }
        const slope = ((await lossAt(value + step)) - (await lossAt(value - step))) / (2 * step)
        data[at] = value
        assert.ok(relativeError([slope], [gradient[at] as number]) < 0.02, `${name}: ${slope} ${gradient[at]}`) // prettier-ignore
      }
    },
    { regularization },
  )
})

test('gradients of micro-batches add up; norms and biases do not decay', () =>
  withEngine('tiny-qwen2-full', async (engine) => {
    const { batch } = readPadded(goldenDir('tiny-qwen2-full'))
    await engine.accumulate(batch)
    const once = new Map(Array.from(engine.gradients, ([name, values]) => [name, values.slice()]))
    await engine.accumulate(batch)
    for (const [name, values] of engine.gradients)
      assert.ok(relativeError(values, (once.get(name) as Float32Array).map((value) => 2 * value)) < 1e-5, name) // prettier-ignore
    engine.zeroGradients()
    const before = new Map(Array.from(engine.trained.tensors, ([name, { data }]) => [name, data.slice()]))
    const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.5 }
    new AdamW(engine.trained, options).step(engine.trained, engine.gradients, 0.1)
    for (const [name, { data }] of engine.trained.tensors) {
      const decays = !name.includes('norm') && !name.endsWith('.bias')
      const factor = decays ? 1 - 0.1 * 0.5 : 1
      assert.ok(relativeError(data, (before.get(name) as Float32Array).map((value) => factor * value)) < 1e-6, name) // prettier-ignore
    }
  }))

test('layout whole and precisions of a frozen base are refused by name', async () => {
  await assert.rejects(
    withEngine('tiny-qwen2-full', async () => {}, { layout: 'whole' }),
    { name: 'InputError', message: /method full.*by-layer/ },
  )
  for (const precision of ['fast', 'small', 'qlora'] as const)
    await assert.rejects(
      withEngine('tiny-qwen2-full', async () => {}, { precision }),
      { name: 'InputError', message: new RegExp(`precision ${precision}.*frozen base`) },
    )
})
