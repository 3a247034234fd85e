import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { mergedWeights } from '../../src/export/merged-weights.ts'
import { readAdapter } from '../../src/export/read-adapter.ts'
import { writeAdapter } from '../../src/export/write-adapter.ts'
import { readJsonFile } from '../../src/formats/json-file.ts'
import { AdamW } from '../../src/train/adamw.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import type { EngineOptions, Layout, Regularization } from '../../src/train/engine.ts'
import { scaleGradients } from '../../src/train/gradient-clipping.ts'
import { initialAdapter } from '../../src/train/lora-init.ts'
import { readFloats, readPadded, readStartAdapter } from '../../scripts/golden-files.ts'
import { copyOf, goldenDir, gradientError } from './tiny-engine.ts'

// What transformers and PEFT give, written by bench/peers/make_training_values.py.
const dir = fileURLToPath(new URL('../fixtures/training-values', import.meta.url))
const expected = readJsonFile(join(dir, 'expected.json')) as Record<string, number>
const { batch } = readPadded(goldenDir('tiny-qwen2'))
const layouts: Layout[] = ['by-layer', 'whole']

async function engineOf(layout: Layout, options: Partial<EngineOptions> = {}) {
  const { config, weights } = openBaseModel(goldenDir('tiny-qwen2'))
  const adapter = readStartAdapter(goldenDir('tiny-qwen2'))
  return createEngine({ config, weights, adapter, layout, threads: 1, ...options })
}
const close = (found: number, want: number | undefined) =>
  assert.ok(Math.abs(found / (want ?? NaN) - 1) < 1e-5, `${found}, not ${want}`)

for (const layout of layouts) {
  test(`label smoothing, ${layout}: transformers' loss and gradients; evaluation knows nothing of it`, async () => {
    const regularization: Regularization = { labelSmoothing: 0.1, neftuneNoiseAlpha: 0 }
    const [smooth, plain] = [await engineOf(layout, { regularization }), await engineOf(layout)]
    const { lossSum, tokens } = await smooth.accumulate(batch)
    close(lossSum / tokens, expected.label_smoothing)
    scaleGradients(smooth.gradients, 1 / tokens)
    assert.ok(gradientError(smooth.gradients, readFloats(dir, 'label_smoothing')) < 1e-4)
    close((await smooth.evaluate(batch)).lossSum, (await plain.evaluate(batch)).lossSum)
    await Promise.all([smooth.dispose(), plain.dispose()])
  })

  test(`ranks and alphas by module and rsLoRA, ${layout}: PEFT's loss, before and after merging`, async () => {
    const adapter = readAdapter(join(dir, 'patterns'))
    const engine = await engineOf(layout, { adapter })
    const { lossSum, tokens } = await engine.evaluate(batch)
    close(lossSum / tokens, expected.patterns)
    const base = openBaseModel(goldenDir('tiny-qwen2'))
    const merged = await engineOf(layout, {
      weights: mergedWeights(base.weights, adapter),
      adapter: undefined,
    })
    close((await merged.evaluate(batch)).lossSum / tokens, expected.patterns)
    await Promise.all([engine.dispose(), merged.dispose()])
    base.close()
  })
}

test('an adapter with patterns is written as it was read', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-patterns-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const adapter = readAdapter(join(dir, 'patterns'))
  assert.deepEqual(adapter.config.rankPattern, { down_proj: 2, 'layers.1.self_attn.q_proj': 3 })
  await writeAdapter(folder, adapter, { baseModel: 'tiny' })
  assert.deepEqual(readAdapter(folder), adapter)
})

test('a fresh adapter has the ranks of the pattern; a pattern that names no module is refused', () => {
  const { config } = openBaseModel(goldenDir('tiny-qwen2'))
  const lora = {
    r: 4,
    loraAlpha: 8,
    loraDropout: 0,
    targetModules: ['q_proj', 'down_proj'],
    useRslora: false,
  }
  const { tensors } = initialAdapter(config, { ...lora, rankPattern: { down_proj: 2 } }, 1)
  const shape = (module: string) =>
    tensors.get(`base_model.model.model.layers.1.${module}.lora_A.weight`)?.shape
  assert.deepEqual([shape('self_attn.q_proj'), shape('mlp.down_proj')], [[4, 64], [2, 160]]) // prettier-ignore
  for (const key of ['v_proj', 'proj', 'layers.9.self_attn.q_proj'])
    assert.throws(() => initialAdapter(config, { ...lora, alphaPattern: { [key]: 2 } }, 1), {
      name: 'InputError',
      message: new RegExp(`^alphaPattern: no adapted layer's path ends in ${key};`),
    })
})

test('the largest activation of each layer, the same in both layouts; from an overflow on they are no numbers', async () => {
  for (const layout of layouts) {
    const engine = await engineOf(layout)
    const sound = await engine.largestActivations(batch)
    assert.equal(sound.length, 3)
    assert.ok(
      sound.every((value) => value > 0.1 && value < 1e4),
      sound.join(),
    )
    engine.trained.tensors.get('base_model.model.model.layers.1.mlp.down_proj.lora_B.weight')?.data.fill(3e38)
    const [first, second, third] = await engine.largestActivations(batch)
    close(first as number, sound[0])
    assert.ok(!Number.isFinite(second) && !Number.isFinite(third), `${second}, ${third}`)
    await engine.dispose()
  }
})

test("LoRA+: PEFT's adapter after three steps", async () => {
  const engine = await engineOf('by-layer')
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, loraplusLrRatio: 4 }
  const optimizer = new AdamW(engine.trained, options)
  for (let step = 0; step < 3; step++) {
    engine.zeroGradients()
    const { tokens } = await engine.accumulate(batch)
    scaleGradients(engine.gradients, 1 / tokens)
    optimizer.step(engine.trained, engine.gradients, 5e-3)
  }
  const trained = new Map(Array.from(engine.trained.tensors, ([name, { data }]) => [name, data]))
  assert.ok(gradientError(trained, readFloats(dir, 'loraplus')) < 1e-4)
  await engine.dispose()
})

test('NEFTune: the same counters give the same noise in both layouts, others another, and evaluation has none', async () => {
  const regularization: Regularization = { labelSmoothing: 0, neftuneNoiseAlpha: 5 }
  const gradients = async (layout: Layout, step: number | undefined) => {
    const engine = await engineOf(layout, { regularization })
    const counters = step === undefined ? undefined : { seed: 1, step, microBatch: 0 }
    const { lossSum } = await engine.accumulate(batch, undefined, counters)
    const found = { lossSum, gradients: copyOf(engine.gradients) }
    await engine.dispose()
    return found
  }
  const noisy = await gradients('by-layer', 3)
  const whole = await gradients('whole', 3)
  close(noisy.lossSum, whole.lossSum)
  assert.ok(gradientError(noisy.gradients, whole.gradients) < 1e-4)
  const plain = await gradients('by-layer', undefined)
  for (const other of [plain, await gradients('by-layer', 4)])
    assert.ok(Math.abs(other.lossSum / noisy.lossSum - 1) > 1e-6)
})
