import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { adapterLayers } from '../../src/model/adapter-layers.ts'
import { loadFrozenWeights } from '../../src/model/frozen-weights.ts'
import { decodingGraph, evaluationGraph, trainingGraph } from '../../src/model/whole-graph.ts'
import { Session } from '../../src/onnx/session.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import type { Engine, EngineOptions } from '../../src/train/engine.ts'
import { relativeError } from '../../scripts/golden-check.ts'
import { readExpected, readFloats, readPadded, readStartAdapter } from '../../scripts/golden-files.ts'
import { goldenDir, type TinyName } from './tiny-engine.ts'

// Products in float16 and bfloat16, in layout whole. float16 runs here, with the kernels that ONNX Runtime has for it on the CPU and casts
// around the others; bfloat16 has none.

const FIRST_SCALE = 65_536

async function withEngine(
  name: TinyName,
  use: (engine: Engine) => Promise<void>,
  change: Partial<EngineOptions> = {},
): Promise<void> {
  const { config, weights, close } = openBaseModel(goldenDir(name))
  const options: EngineOptions = { config, weights, adapter: readStartAdapter(goldenDir(name)), layout: 'whole', precision: 'fp16', threads: 2, ...change } // prettier-ignore
  const engine = await createEngine(options)
  try {
    await use(engine)
  } finally {
    await engine.dispose()
    close()
  }
}

/** Against PyTorch's in float64: the cosine of all gradients, and the largest error of a tensor relative to its largest value. */
async function gradientsAt(engine: Engine, name: TinyName, scale: number) {
  const { batch } = readPadded(goldenDir(name))
  engine.zeroGradients()
  const { lossSum, tokens } = await engine.accumulate(batch, undefined, undefined, scale)
  let [dot, found2, wanted2, worst] = [0, 0, 0, 0]
  for (const [tensor, wanted] of readFloats(goldenDir(name), 'gradients')) {
    const found = (engine.gradients.get(tensor) as Float32Array).map((value) => value / tokens)
    worst = Math.max(worst, relativeError(found, wanted))
    for (const [i, value] of found.entries()) {
      dot += value * (wanted[i] as number)
      found2 += value ** 2
      wanted2 += (wanted[i] as number) ** 2
    }
  }
  return { loss: lossSum / tokens, cosine: dot / Math.sqrt(found2 * wanted2), worst }
}

for (const name of ['tiny-qwen2', 'tiny-llama', 'tiny-qwen3', 'tiny-llama3-rope', 'tiny-qwen2-dora'] as const)
  test(`${name} in float16: loss, gradients and logits near PyTorch's in float64`, () =>
    withEngine(name, async (engine) => {
      for (const scale of [1, FIRST_SCALE]) {
        const { loss, cosine, worst } = await gradientsAt(engine, name, scale)
        assert.ok(relativeError([loss], [readExpected(goldenDir(name)).loss]) < 1e-3, `loss ${loss}`)
        assert.ok(cosine > 0.9999 && worst < 0.03, `scale ${scale}: cosine ${cosine}, worst ${worst}`)
      }
      const { batch } = readPadded(goldenDir(name))
      const { lossSum } = await engine.evaluate(batch)
      const float32 = { value: 0 }
      await withEngine(name, async (exact) => void (float32.value = (await exact.evaluate(batch)).lossSum), { precision: 'exact' }) // prettier-ignore
      assert.ok(relativeError([lossSum], [float32.value]) < 1e-3)
      assert.notEqual(lossSum, float32.value, 'float16 is another arithmetic')
    }))

test('a scale that is too large makes gradients that are not finite, one that is too small loses them', () =>
  withEngine('tiny-qwen2', async (engine) => {
    const { cosine } = await gradientsAt(engine, 'tiny-qwen2', 2 ** 30)
    assert.ok(!Number.isFinite(cosine))
    const small = await gradientsAt(engine, 'tiny-qwen2', 2 ** -14)
    const first = await gradientsAt(engine, 'tiny-qwen2', FIRST_SCALE)
    assert.ok(small.worst > 10 * first.worst, `${small.worst} at a small scale, ${first.worst} at the first`)
    assert.ok(
      Number.isFinite((await gradientsAt(engine, 'tiny-qwen2', FIRST_SCALE)).cosine),
      'and it goes on',
    )
  }))

test('dropout, noise and label smoothing in float16 give what float32 gives, nearly', async () => {
  const counters = { seed: 1, step: 0, microBatch: 0 }
  const adapter = readStartAdapter(goldenDir('tiny-qwen2'))
  const change = {
    adapter: { ...adapter, config: { ...adapter.config, loraDropout: 0.3 } },
    regularization: { labelSmoothing: 0.1, neftuneNoiseAlpha: 5 },
  }
  const { batch } = readPadded(goldenDir('tiny-qwen2'))
  const losses: number[] = []
  for (const precision of ['fp16', 'exact'] as const)
    await withEngine('tiny-qwen2', async (engine) => void losses.push((await engine.accumulate(batch, undefined, counters)).lossSum), { ...change, precision }) // prettier-ignore
  assert.ok(relativeError([losses[0] as number], [losses[1] as number]) < 2e-3, losses.join(' '))
})

test('a model answers in float16 token by token, as it does at once', () =>
  withEngine('tiny-qwen3', async (engine) => {
    const decoder = await engine.decoder()
    const tokens = [5, 9, 100, 7, 31]
    const batch = { rows: 1, length: 5, inputIds: Int32Array.from(tokens), positions: Int32Array.of(0, 1, 2, 3, 4), segments: new Int32Array(5).fill(1), labels: new Int32Array(5).fill(-100), rowIds: ['r'] } // prettier-ignore
    const atOnce = await engine.logits(batch)
    await decoder.append(tokens.slice(0, 3))
    await decoder.append(tokens.slice(3, 4))
    const last = await decoder.append(tokens.slice(4))
    assert.ok(relativeError(last, atOnce.slice(-last.length)) < 5e-3)
    await decoder.dispose()
  }))

for (const name of ['tiny-qwen2', 'tiny-qwen2-dora', 'tiny-qwen3'] as const)
  test(`${name} in bfloat16: ONNX Runtime takes the graphs' types, and lacks but the CPU's kernels`, async () => {
    const dir = goldenDir(name)
    const { config, weights: source, close } = openBaseModel(dir)
    const weights = loadFrozenWeights(config, source, { linear: 'bfloat16', wholeEmbedding: true })
    const layers = adapterLayers(config, readStartAdapter(dir))
    const model = { config, weights, layers, compute: 'bfloat16' as const }
    close()
    for (const graph of [
      trainingGraph(model, { dropout: 0.1, labelSmoothing: 0.1, noise: true }),
      evaluationGraph(model, 'loss'),
      evaluationGraph(model, 'logits'),
      decodingGraph(model),
    ])
      await assert.rejects(Session.create(graph, { threads: 1 }), /Could not find an implementation for/)
  })

test('precisions are refused by name where they are not made', async () => {
  const refused = (change: Partial<EngineOptions>, message: RegExp) =>
    assert.rejects(
      withEngine('tiny-qwen2', async () => {}, change),
      { name: 'InputError', message },
    )
  await refused({ precision: 'bf16' }, /bf16 has no kernels on the CPU; choose device cuda/)
  await refused({ layout: 'by-layer' }, /fp16 is made for layout whole/)
  await refused({ precision: 'qlora' }, /qlora is not made for layout whole/)
})
