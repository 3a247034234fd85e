import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IGNORED_LABEL, makeBatch } from '../../src/train/batch.ts'
import { copyOf, gradientError, sample, tinyEngine } from './tiny-engine.ts'

/** Rounding of sums in another order; a mistake is far above it. */
const ROUNDING = 2e-5
const LAYOUTS = ['by-layer', 'whole'] as const

const [first, second, third, fourth] = [sample(1, 21), sample(2, 9), sample(3, 33), sample(4, 14)]
const samples = [first, second, third, fourth]

for (const layout of LAYOUTS) {
  test(`${layout}: micro-batches add up to one big batch, and packed rows to padded ones`, async () => {
    const engine = await tinyEngine('tiny-qwen2', layout)
    const whole = await engine.accumulate(makeBatch(samples.map((one) => [one])))
    const want = copyOf(engine.gradients)
    const splits = [
      samples.map((one) => [[one]]),
      [samples.slice(0, 3).map((one) => [one]), [[...samples.slice(3)]]],
      [[samples]],
      [[samples.slice(0, 1), samples.slice(1)]],
    ]
    for (const batches of splits) {
      engine.zeroGradients()
      let lossSum = 0
      let tokens = 0
      for (const rows of batches) {
        const part = await engine.accumulate(makeBatch(rows))
        lossSum += part.lossSum
        tokens += part.tokens
      }
      assert.equal(tokens, whole.tokens)
      assert.ok(Math.abs(lossSum / whole.lossSum - 1) < ROUNDING)
      assert.ok(gradientError(engine.gradients, want) < ROUNDING)
    }
    await engine.dispose()
  })

  test(`${layout}: the same batch gives the same bits, and evaluation the same loss`, async () => {
    const engine = await tinyEngine('tiny-llama', layout)
    const batch = makeBatch([[first, second], [third]])
    const once = await engine.accumulate(batch)
    const want = copyOf(engine.gradients)
    engine.zeroGradients()
    assert.deepEqual(await engine.accumulate(batch), once)
    assert.deepEqual(copyOf(engine.gradients), want)

    const evaluated = await engine.evaluate(batch)
    assert.ok(Math.abs(evaluated.lossSum / once.lossSum - 1) < 1e-6)
    const logits = await engine.logits(batch)
    const vocabulary = logits.length / (batch.rows * batch.length)
    let correct = 0
    for (const [t, label] of batch.labels.entries()) {
      if (label === IGNORED_LABEL) continue
      const row = logits.subarray((t - 1) * vocabulary, t * vocabulary)
      if (row.indexOf(Math.max(...row)) === label) correct++
    }
    assert.equal(evaluated.correct, correct)
    await engine.dispose()
  })

  test(`${layout}: LoRA dropout is drawn from its counters, and its gradients are those of the loss`, async () => {
    const engine = await tinyEngine('tiny-qwen2', layout, (adapter) => ({
      ...adapter,
      config: { ...adapter.config, loraDropout: 0.3 },
    }))
    const batch = makeBatch([[second], [fourth]])
    const counters = { seed: 7, step: 3, microBatch: 1 }
    const run = async (dropout?: typeof counters) => {
      engine.zeroGradients()
      const { lossSum } = await engine.accumulate(batch, undefined, dropout)
      return { lossSum, gradients: copyOf(engine.gradients) }
    }
    const dropped = await run(counters)
    const without = await run()
    const others = [
      { ...counters, seed: 8 },
      { ...counters, step: 4 },
      { ...counters, microBatch: 2 },
    ]
    for (const other of others) assert.notEqual((await run(other)).lossSum, dropped.lossSum)
    assert.notEqual(without.lossSum, dropped.lossSum)
    assert.deepEqual(await run(counters), dropped)

    // Along the gradient itself, so that one difference checks all of it.
    const squares = Array.from(dropped.gradients.values()).reduce(
      (sum, g) => sum + g.reduce((s, x) => s + x * x, 0),
      0,
    )
    const step = 1e-2 / Math.sqrt(squares)
    const move = (factor: number) => {
      for (const [name, { data }] of engine.trained.tensors)
        for (const [i, g] of (dropped.gradients.get(name) ?? []).entries())
          data[i] = (data[i] as number) + factor * step * g
    }
    move(1)
    const above = (await run(counters)).lossSum
    move(-2)
    const below = (await run(counters)).lossSum
    const slope = (above - below) / (2 * step)
    assert.ok(Math.abs(slope / squares - 1) < 5e-3, `${slope} by differences, ${squares} by the gradient`)
    await engine.dispose()
  })
}

test('both layouts agree on long packed rows, whose attention is cut into blocks in one of them', async () => {
  const long = [sample(5, 300)]
  const packed = [sample(6, 120), sample(7, 90), sample(8, 70)]
  for (const name of ['tiny-qwen2', 'tiny-llama'] as const) {
    const engines = await Promise.all(LAYOUTS.map((layout) => tinyEngine(name, layout)))
    for (const rows of [[long], [long, packed]]) {
      const found = []
      for (const engine of engines) {
        engine.zeroGradients()
        found.push({ ...(await engine.accumulate(makeBatch(rows))), gradients: copyOf(engine.gradients) })
      }
      const [a, b] = found as [(typeof found)[0], (typeof found)[0]]
      assert.equal(a.tokens, b.tokens)
      assert.ok(Math.abs(a.lossSum / b.lossSum - 1) < ROUNDING)
      assert.ok(gradientError(a.gradients, b.gradients) < ROUNDING)
    }
    for (const engine of engines) await engine.dispose()
  }
})

test('padding on the left, or whole rows of it, changes nothing', async () => {
  const engine = await tinyEngine('tiny-qwen2', 'by-layer')
  const want = await engine.accumulate(makeBatch([[second]]))
  const wantGradients = copyOf(engine.gradients)
  const { inputIds, positions, segments, labels, length, rowIds } = makeBatch([[second]])
  const left = (data: Int32Array, padding: number) =>
    Int32Array.from([...Array<number>(5).fill(padding), ...data, ...Array<number>(length + 5).fill(padding)])
  engine.zeroGradients()
  const found = await engine.accumulate({
    rows: 2,
    length: length + 5,
    inputIds: left(inputIds, 0),
    positions: left(positions, 0),
    segments: left(segments, 0),
    labels: left(labels, IGNORED_LABEL),
    rowIds: [...rowIds, 'padding'],
  })
  assert.equal(found.tokens, want.tokens)
  assert.ok(Math.abs(found.lossSum / want.lossSum - 1) < ROUNDING)
  assert.ok(gradientError(engine.gradients, wantGradients) < ROUNDING)
  await engine.dispose()
})

test('progress counts the layers, forward and backward', async () => {
  const engine = await tinyEngine('tiny-qwen2', 'by-layer')
  const seen: number[] = []
  await engine.accumulate(makeBatch([[second]]), (layer) => seen.push(layer))
  assert.deepEqual(seen, [1, 2, 3, 1, 2, 3])
  await engine.dispose()
})

test('a batch without a target has no loss and no gradient', async () => {
  for (const layout of LAYOUTS) {
    const engine = await tinyEngine('tiny-llama', layout)
    const batch = makeBatch([[{ id: 'a', ids: [5, 6, 7], targets: [1, 0, 0] }]])
    assert.deepEqual(await engine.accumulate(batch), { lossSum: 0, tokens: 0 })
    assert.deepEqual(await engine.evaluate(batch), { lossSum: 0, tokens: 0, correct: 0 })
    for (const gradient of engine.gradients.values()) assert.ok(gradient.every((value) => value === 0))
    await engine.dispose()
  }
})

test('the base model alone is the model with a zero adapter', async () => {
  const batch = makeBatch([[first]])
  for (const layout of LAYOUTS) {
    const base = await tinyEngine('tiny-llama', layout, () => undefined)
    const zero = await tinyEngine('tiny-llama', layout, (adapter) => {
      for (const [name, { data }] of adapter.tensors) if (name.includes('lora_B')) data.fill(0)
      return adapter
    })
    assert.equal(base.gradients.size, 0)
    assert.ok(
      Math.abs((await base.evaluate(batch)).lossSum / (await zero.evaluate(batch)).lossSum - 1) < 1e-6,
    )
    await base.dispose()
    await zero.dispose()
  }
})

test('tokens one by one through the cache give the logits of the whole row', async () => {
  for (const layout of LAYOUTS) {
    const engine = await tinyEngine('tiny-qwen2', layout)
    const one = first
    const want = await engine.logits(makeBatch([[one]]))
    const vocabulary = want.length / one.ids.length
    const decoder = await engine.decoder()
    for (const start of [1, 8]) {
      decoder.reset()
      let logits = await decoder.append(Array.from(one.ids).slice(0, start))
      for (let t = start; t < one.ids.length; t++) logits = await decoder.append([one.ids[t] as number])
      const last = want.subarray((one.ids.length - 1) * vocabulary)
      assert.ok(gradientError(new Map([['', logits]]), new Map([['', last]])) < ROUNDING)
    }
    await decoder.dispose()
    await engine.dispose()
  }
})

test('what does not fit together is said with its name and shapes', async () => {
  const without = (part: string) =>
    tinyEngine('tiny-llama', 'by-layer', (adapter) => {
      for (const name of adapter.tensors.keys()) if (name.includes(part)) adapter.tensors.delete(name)
      return adapter
    })
  await assert.rejects(without('layers.0.self_attn.q_proj.lora_B'), {
    name: 'InputError',
    message: /has .*layers\.0\.self_attn\.q_proj\.lora_A\.weight, but not .*lora_B/,
  })
  const shaped = tinyEngine('tiny-llama', 'by-layer', ({ config, tensors }) => {
    const name = 'base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight'
    return { config, tensors: tensors.set(name, { shape: [4, 95], data: new Float32Array(4 * 95) }) }
  })
  await assert.rejects(shaped, {
    name: 'InputError',
    message: /v_proj\.lora_A\.weight \[4, 95\].*v_proj is \[48, 96\]/,
  })
  const stray = tinyEngine('tiny-llama', 'by-layer', ({ config, tensors }) => {
    const name = 'base_model.model.model.layers.2.self_attn.v_proj.lora_A.weight'
    return { config, tensors: tensors.set(name, { shape: [4, 96], data: new Float32Array(4 * 96) }) }
  })
  await assert.rejects(stray, { name: 'InputError', message: /layers\.2.* belongs to no layer .*2 layers/ })
  const strange = makeBatch([[{ id: 'a', ids: [3, 384], targets: [1, 1] }]])
  const message = /token 384 .*vocabulary of 384/
  for (const layout of LAYOUTS) {
    const engine = await tinyEngine('tiny-llama', layout)
    await assert.rejects(engine.accumulate(strange), { name: 'InputError', message })
    const decoder = await engine.decoder()
    await assert.rejects(decoder.append([384]), { name: 'InputError', message })
    await decoder.dispose()
    await engine.dispose()
  }
})
