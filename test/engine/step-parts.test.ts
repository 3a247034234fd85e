import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { AdamW } from '../../src/train/adamw.ts'
import { IGNORED_LABEL, makeBatch } from '../../src/train/batch.ts'
import { dropoutMasks } from '../../src/train/dropout-mask.ts'
import { clipGradients, scaleGradients } from '../../src/train/gradient-clipping.ts'
import { initialAdapter } from '../../src/train/lora-init.ts'
import { permutation, philox, RandomStream } from '../../src/train/random.ts'
import { learningRateAt, type ScheduleName } from '../../src/train/schedule.ts'
import { goldenDir } from './tiny-engine.ts'

test('Philox gives the numbers of its authors (Random123, kat_vectors)', () => {
  const ones = 0xffffffff
  const wants: [number[], number[], string][] = [
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [[ones, ones, ones, ones], [ones, ones], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ]
  for (const [counter, key, want] of wants) {
    const out = new Uint32Array(4)
    philox(out, ...([...counter, ...key] as [number, number, number, number, number, number]))
    assert.equal(Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' '), want)
  }
})

test('a stream is named by seed, purpose and counters; its numbers are uniform', () => {
  const first = (...names: ConstructorParameters<typeof RandomStream>) => {
    const stream = new RandomStream(...names)
    return Array.from({ length: 5 }, () => stream.uint32()).join()
  }
  assert.equal(first(1, 'lora-init', 2, 3), first(1, 'lora-init', 2, 3))
  const names: ConstructorParameters<typeof RandomStream>[] = [
    [1, 'lora-init', 2, 3],
    [2, 'lora-init', 2, 3],
    [1 + 2 ** 32, 'lora-init', 2, 3],
    [1, 'lora-dropout', 2, 3],
    [1, 'lora-init', 3, 2],
    [1, 'lora-init', 2, 4],
  ]
  assert.equal(new Set(names.map((name) => first(...name))).size, names.length)
  const stream = new RandomStream(5, 'data-order')
  const counts = Array.from({ length: 10 }, () => 0)
  for (let i = 0; i < 20_000; i++) {
    const bin = Math.floor(stream.uniform() * 10)
    counts[bin] = (counts[bin] ?? 0) + 1
  }
  for (const count of counts) assert.ok(Math.abs(count - 2000) < 200)
})

test('an order holds every row once and is another in each epoch', () => {
  const order = permutation(100, 42, 0)
  assert.deepEqual(
    Array.from(order).sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  )
  assert.deepEqual(permutation(100, 42, 0), order)
  assert.notDeepEqual(permutation(100, 42, 1), order)
  assert.notDeepEqual(permutation(100, 43, 0), order)
})

test('learning rates are those of transformers', () => {
  // get_linear_schedule_with_warmup and its neighbours, 2 warm-up steps of 10, highest rate 1.
  const wants: [ScheduleName, number[]][] = [
    ['linear', [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]],
    ['cosine', [0, 0.5, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5, 0.3086582838174552, 0.14644660940672627, 0.03806023374435663, 0]], // prettier-ignore
    ['constant_with_warmup', [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
    ['constant', [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
  ]
  for (const [name, rates] of wants)
    for (const [step, want] of rates.entries()) {
      const found = learningRateAt(step, { name, learningRate: 1, warmupSteps: 2, totalSteps: 10 })
      assert.ok(Math.abs(found - want) < 1e-12, `${name} at ${step}: ${found}, not ${want}`)
    }
})

test('AdamW is torch.optim.AdamW, and goes on exactly from its saved state', () => {
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 }
  const make = () => ({
    config: { r: 1, loraAlpha: 1, loraDropout: 0, targetModules: [], useRslora: false },
    tensors: new Map([['w', { shape: [1, 2] as [number, number], data: Float32Array.of(1, -2) }]]),
  })
  const gradients = (step: number) => new Map([['w', Float32Array.of(0.5 + step, -1)]])
  const adapter = make()
  const optimizer = new AdamW(adapter, options)
  optimizer.step(adapter, gradients(0), 0.01)
  // The first step moves by the rate against the gradient's sign, after a decay of rate · weightDecay.
  assert.deepEqual(adapter.tensors.get('w')?.data, Float32Array.of(1 * 0.999 - 0.01, -2 * 0.999 + 0.01))

  const { step, first, second } = structuredClone(optimizer.state)
  const copy = make()
  copy.tensors.get('w')?.data.set(adapter.tensors.get('w')?.data ?? [])
  const resumed = new AdamW(copy, options, { step, first, second })
  for (let next = 1; next < 4; next++) {
    optimizer.step(adapter, gradients(next), 0.01)
    resumed.step(copy, gradients(next), 0.01)
  }
  assert.deepEqual(copy, adapter)
  assert.equal(resumed.state.step, 4)
  assert.throws(() => optimizer.step(adapter, new Map(), 0.01), /AdamW: w has 2 elements/)
})

test('clipping scales all gradients to the joint norm, or not at all', () => {
  const make = () => new Map([['a', Float32Array.of(3, 0)], ['b', Float32Array.of(0, -4)]]) // prettier-ignore
  const wants: [number, number[]][] = [
    [1, [0.6, 0, 0, -0.8]],
    [5.1, [3, 0, 0, -4]],
    [0, [3, 0, 0, -4]],
  ]
  for (const [maxNorm, want] of wants) {
    const gradients = make()
    assert.equal(clipGradients(gradients, maxNorm), 5)
    const found = Array.from(gradients.values()).flatMap((values) => Array.from(values))
    for (const [i, value] of want.entries()) assert.ok(Math.abs((found[i] ?? NaN) - value) < 1e-6)
  }
  for (const [maxNorm, factor] of [
    [1, 0.2],
    [0, 0.5],
    [2.6, 0.5],
  ] as const) {
    const gradients = new Map([['a', Float32Array.of(0, 0, 0, 0, 3)], ['b', Float32Array.of(0, -4)]]) // prettier-ignore
    assert.equal(clipGradients(gradients, maxNorm, 0.5), 2.5)
    const found = Array.from(gradients.values()).flatMap((values) => Array.from(values))
    for (const [i, value] of [0, 0, 0, 0, 3 * factor, 0, -4 * factor].entries())
      assert.ok(Math.abs((found[i] ?? NaN) - value) < 1e-6, `${maxNorm}: ${found.join(' ')}`)
  }
  const broken = make().set('c', Float32Array.of(NaN))
  assert.ok(Number.isNaN(clipGradients(broken, 1)))
  assert.deepEqual(broken.get('a'), Float32Array.of(3, 0))
  scaleGradients(broken, 0.5)
  assert.deepEqual(broken.get('b'), Float32Array.of(0, -2))
})

test('a fresh adapter: A uniform within 1/√in, B zero, the same for the same seed', () => {
  const { config, close } = openBaseModel(goldenDir('tiny-llama'))
  close()
  const lora = {
    r: 8,
    loraAlpha: 16,
    loraDropout: 0,
    targetModules: ['q_proj', 'down_proj'],
    useRslora: false,
  }
  const adapter = initialAdapter(config, lora, 3)
  assert.deepEqual(
    Array.from(adapter.tensors, ([name, { shape }]) => [name.split('.').slice(4).join('.'), shape]),
    [
      ['0.self_attn.q_proj.lora_A.weight', [8, 96]],
      ['0.self_attn.q_proj.lora_B.weight', [96, 8]],
      ['0.mlp.down_proj.lora_A.weight', [8, 192]],
      ['0.mlp.down_proj.lora_B.weight', [96, 8]],
      ['1.self_attn.q_proj.lora_A.weight', [8, 96]],
      ['1.self_attn.q_proj.lora_B.weight', [96, 8]],
      ['1.mlp.down_proj.lora_A.weight', [8, 192]],
      ['1.mlp.down_proj.lora_B.weight', [96, 8]],
    ],
  )
  for (const [name, { shape, data }] of adapter.tensors) {
    const largest = Math.max(...data.map(Math.abs))
    if (name.includes('lora_B')) assert.equal(largest, 0)
    else assert.ok(largest <= 1 / Math.sqrt(shape[1]) && largest > 0.9 / Math.sqrt(shape[1]))
  }
  assert.deepEqual(initialAdapter(config, lora, 3), adapter)
  assert.notDeepEqual(initialAdapter(config, lora, 4), adapter)
})

test('dropout keeps the wanted share, and each module its own mask', () => {
  const { config, close } = openBaseModel(goldenDir('tiny-llama'))
  close()
  const lora = new Map(
    (['q_proj', 'v_proj'] as const).map((name) => [name, { rank: 4, scale: 1, dropout: 0.1, isDora: false }]),
  )
  const masks = dropoutMasks(config, 500, { lora, tensors: new Map() }, 1, 0.1, {
    seed: 1,
    step: 2,
    microBatch: 0,
  })
  assert.deepEqual(masks.map(([name, mask]) => [name, mask.dims]), [['q_proj.keep', [500, 96]], ['v_proj.keep', [500, 96]]]) // prettier-ignore
  for (const [, mask] of masks) {
    const kept = (mask.data as Uint8Array).reduce((sum, value) => sum + value, 0) / mask.size
    assert.ok(Math.abs(kept - 0.9) < 0.005, `${kept} kept`)
  }
  assert.notDeepEqual(masks[0]?.[1].data, masks[1]?.[1].data)
})

test('a batch: padded rows, packed samples with positions of their own, no first token a target', () => {
  const a = { id: 'a', ids: [5, 6, 7], targets: [1, 0, 1] }
  const b = { id: 'b', ids: [8, 9], targets: [1, 1] }
  const none = IGNORED_LABEL
  assert.deepEqual(makeBatch([[a, b], [b]]), {
    rows: 2,
    length: 5,
    inputIds: Int32Array.of(5, 6, 7, 8, 9, 8, 9, 0, 0, 0),
    positions: Int32Array.of(0, 1, 2, 0, 1, 0, 1, 0, 0, 0),
    segments: Int32Array.of(1, 1, 1, 2, 2, 1, 1, 0, 0, 0),
    labels: Int32Array.of(none, none, 7, none, 9, none, 9, none, none, none),
    rowIds: ['a+b', 'b'],
  })
})
