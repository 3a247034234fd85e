import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import type { Adapter } from '../../src/model/adapter.ts'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { AdamW } from '../../src/train/adamw.ts'
import { type BlockwiseMoment, dynamicMap, momentArrays } from '../../src/train/blockwise-moment.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import { scaleGradients } from '../../src/train/gradient-clipping.ts'
import { initialAdapter } from '../../src/train/lora-init.ts'
import { startingRecord } from '../../src/train/starting-record.ts'
import { readState, writeState } from '../../src/train/training-state.ts'
import { readPadded } from '../../scripts/golden-files.ts'
import { linearEngine, linearRows } from '../train/linear-engine.ts'
import { trainSettings } from '../train/settings.ts'
import { thisEnvironment } from '../../src/train/environment.ts'
import { goldenDir } from './tiny-engine.ts'

// What bitsandbytes 0.50 gives, written by bench/peers/make_adamw8bit.py.
const path = fileURLToPath(new URL('../fixtures/training-values/adamw8bit.safetensors', import.meta.url))
const SIZE = 4196
const STEPS = 8

const parameter = (data: Float32Array): Adapter => ({
  config: { r: 1, loraAlpha: 1, loraDropout: 0, targetModules: [], useRslora: false },
  tensors: new Map([['w', { shape: [1, data.length], data }]]),
})
const start = () => Float32Array.from({ length: SIZE }, (_, i) => (((i * 7919) % 2001) - 1000) / 1000)
const gradient = (step: number) =>
  Float32Array.from(
    { length: SIZE },
    (_, i) => ((((i * 104729 + step * 1299709 + ((i * step) % 977)) % 2001) - 1000) / 1000) * 10 ** -(i % 4),
  )
const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, bits: 8 as const }

test("8-bit AdamW: bitsandbytes' maps, and its parameters and moments after eight steps", () => {
  const file = readSafetensors(path)
  for (const map of ['signed', 'unsigned'] as const) {
    const want = file.float32(map)
    assert.equal(want.length, 256)
    for (const [i, value] of dynamicMap(map).entries())
      assert.ok(Math.abs(value - (want[i] as number)) <= 2e-7 * Math.abs(value), `${map} ${i}: ${value}`)
  }
  const adapter = parameter(start())
  const optimizer = new AdamW(adapter, options)
  for (let step = 0; step < STEPS; step++) optimizer.step(adapter, new Map([['w', gradient(step)]]), 1e-2)
  for (const moment of ['first', 'second'] as const) {
    const { codes, absmax } = optimizer.state[moment].get('w') as BlockwiseMoment
    const [wantCodes, wantMax] = [file.bytes(moment), file.float32(`${moment}.absmax`)]
    // Rounding may put a value that lies between two numbers to the other one.
    const others = codes.reduce((count, code, i) => count + (code === wantCodes[i] ? 0 : 1), 0)
    assert.ok(others <= SIZE / 500, `${moment}: ${others} codes differ`)
    assert.ok(codes.every((code, i) => Math.abs(code - (wantCodes[i] as number)) <= 1))
    assert.ok(absmax.every((value, i) => Math.abs(value / (wantMax[i] as number) - 1) < 1e-2))
  }
  const want = file.float32('parameter')
  const errors = (adapter.tensors.get('w') as { data: Float32Array }).data.map((value, i) =>
    Math.abs(value - (want[i] as number)),
  )
  const sorted = errors.toSorted()
  // Steps of 1e-2: nearly all differ by rounding, and the worst by a value that lay between two numbers.
  assert.ok((sorted[Math.floor(SIZE * 0.99)] as number) < 1e-6, `99 %: ${sorted[Math.floor(SIZE * 0.99)]}`)
  assert.ok((sorted[SIZE - 1] as number) < 1e-3, `the worst: ${sorted[SIZE - 1]}`)
  file.close()
})

test('few values stay in float32, and a block of zeros stays zero', () => {
  const small = parameter(new Float32Array(4095))
  assert.ok(new AdamW(small, options).state.first.get('w') instanceof Float32Array)
  const large = parameter(start())
  const optimizer = new AdamW(large, { ...options, weightDecay: 0 })
  optimizer.step(large, new Map([['w', new Float32Array(SIZE)]]), 1e-2)
  assert.deepEqual(large, parameter(start()))
  const { absmax } = optimizer.state.second.get('w') as BlockwiseMoment
  assert.ok(absmax.every((value) => value === 0))
  optimizer.step(large, new Map([['w', new Float32Array(SIZE).fill(Number.NaN, 7, 8)]]), 1e-2)
  assert.ok(Number.isNaN(absmax[0]))
})

test('saved and read again between two steps, the end is the same bit for bit', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'temper-adamw8bit-'))
  t.after(() => rm(dir, { recursive: true }))
  const [adapter, resumed] = [parameter(start()), parameter(start())]
  const optimizer = new AdamW(adapter, options)
  for (let step = 0; step < 3; step++) optimizer.step(adapter, new Map([['w', gradient(step)]]), 1e-2)
  const job = {
    engine: linearEngine(),
    rows: linearRows(1),
    settings: trainSettings(),
    environment: thisEnvironment(trainSettings()),
    resumeFrom: undefined,
    log: () => {},
  }
  const schedule = { name: 'constant', learningRate: 1e-2, warmupSteps: 0, totalSteps: 6 }
  const record = { ...startingRecord(job, schedule), step: 3 }
  await writeState(dir, { record, adapter: adapter.tensors, moments: optimizer.state, best: undefined })
  const state = await readState(dir, resumed)
  assert.deepEqual(state.moments, optimizer.state)
  resumed.tensors.get('w')?.data.set(state.adapter.get('w')?.data ?? [])
  const next = new AdamW(resumed, options, state.moments)
  for (let step = 3; step < 6; step++) {
    optimizer.step(adapter, new Map([['w', gradient(step)]]), 1e-2)
    next.step(resumed, new Map([['w', gradient(step)]]), 1e-2)
  }
  assert.deepEqual(resumed, adapter)
})

test("after 30 steps on a small model the loss is within 1 % of float32 moments', and the state a quarter", async () => {
  const dir = goldenDir('tiny-qwen2')
  const { batch } = readPadded(dir)
  const train = async (bits: 8 | 32) => {
    const { config, weights, close } = openBaseModel(dir)
    const lora = { r: 64, loraAlpha: 64, loraDropout: 0, targetModules: ['q_proj', 'gate_proj', 'down_proj'], useRslora: false } // prettier-ignore
    const adapter = initialAdapter(config, lora, 1)
    const engine = await createEngine({ config, weights, adapter, layout: 'by-layer', threads: 1 })
    const optimizer = new AdamW(adapter, { ...options, bits })
    const losses: number[] = []
    for (let step = 0; step < 30; step++) {
      engine.zeroGradients()
      const { lossSum, tokens } = await engine.accumulate(batch)
      losses.push(lossSum / tokens)
      scaleGradients(engine.gradients, 1 / tokens)
      optimizer.step(adapter, engine.gradients, 1e-3)
    }
    await engine.dispose()
    close()
    const bytes = momentArrays([...optimizer.state.first.values(), ...optimizer.state.second.values()]) // prettier-ignore
    return { losses, bytes: bytes.reduce((sum, array) => sum + array.byteLength, 0) }
  }
  const [full, small] = [await train(32), await train(8)]
  assert.ok((full.losses[29] as number) < 0.8 * (full.losses[0] as number), full.losses.join())
  assert.equal(small.losses[0], full.losses[0])
  assert.ok(Math.abs((small.losses[29] as number) / (full.losses[29] as number) - 1) < 0.01, small.losses.join()) // prettier-ignore
  assert.ok(small.bytes < 0.26 * full.bytes, `${small.bytes} of ${full.bytes}`)
})
