import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import {
  bfloat16ToFloat32,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
} from '../../src/formats/numbers.ts'
import { type Precision, precisionPlan } from '../../src/model/precision.ts'
import type { WeightInfo, WeightSource } from '../../src/model/weights.ts'
import { makeBatch } from '../../src/train/batch.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import { changedWeights } from '../support/changed-weights.ts'
import { readStartAdapter } from '../../scripts/golden-files.ts'
import { compareGradients } from '../../src/train/compare-gradients.ts'
import { copyOf, goldenDir, sample, type TinyName } from './tiny-engine.ts'

const MODELS: TinyName[] = ['tiny-qwen2', 'tiny-llama']
/** One row is padded, and both are long enough for several blocks of attention. */
const BATCH = makeBatch([[sample(1, 150)], [sample(2, 90)]])

/** Other tokens than those of the batch. */
const CALIBRATION = makeBatch([[sample(3, 200)]])

async function step(
  name: TinyName,
  precision: Precision | undefined,
  change?: (source: WeightSource) => WeightSource,
  changeAdapter?: (name: string, values: Float32Array) => void,
) {
  const { config, weights, close } = openBaseModel(goldenDir(name))
  const source = change ? change(weights) : weights
  const adapter = readStartAdapter(goldenDir(name))
  for (const [path, { data }] of adapter.tensors) changeAdapter?.(path, data)
  const engine = await createEngine({
    config,
    weights: source,
    adapter,
    layout: 'by-layer',
    threads: 1,
    calibration: CALIBRATION,
    ...(precision && { precision }),
  })
  try {
    const { lossSum, tokens } = await engine.accumulate(BATCH)
    return { loss: lossSum / tokens, gradients: copyOf(engine.gradients) }
  } finally {
    await engine.dispose()
    close()
  }
}

/** The same weights after a change of their values, under another type. */
function changed(
  source: WeightSource,
  type: WeightInfo['type'],
  change: (values: Float32Array, info: WeightInfo) => Float32Array,
): WeightSource {
  return changedWeights(source, type, (info) => change(source.float32(info.name), info))
}

/** What a mode may cost, against float32: cosine of each layer's gradients, relative error of all, relative loss. */
const LIMITS = {
  fast: { cosine: 0.98, error: 0.2, loss: 0.005 },
  small: { cosine: 0.99, error: 0.1, loss: 0.002 },
}

for (const name of MODELS)
  for (const mode of ['fast', 'small'] as const)
    test(`${name}, ${mode}: every layer's gradients point where float32's do`, async () => {
      checkLimits(mode, await step(name, mode), await step(name, 'exact'))
    })

test('fast: channels of large values take nothing from the precision of the others', async () => {
  // The same function, with some channels of the norms' outputs a hundred times larger and their weights as much smaller.
  const grown = (channel: number): number => (channel % 16 === 3 ? 100 : 1)
  const shrink = (values: Float32Array, width: number) => values.map((x, i) => x / grown(i % width))
  const uneven = (source: WeightSource) =>
    changed(source, 'F32', (values, { name, shape }) => {
      if (/(input|post_attention)_layernorm/.test(name)) return values.map((x, i) => x * grown(i))
      return /(q|k|v|gate|up)_proj.weight$/.test(name) ? shrink(values, shape.at(-1) as number) : values
    })
  const width = 64
  const unevenAdapter = (name: string, values: Float32Array) => {
    if (/(q|k|v|gate|up)_proj.lora_A/.test(name)) values.set(shrink(values, width))
  }
  const want = await step('tiny-qwen2', 'exact', uneven, unevenAdapter)
  checkLimits('fast', await step('tiny-qwen2', 'fast', uneven, unevenAdapter), want)
})

for (const mode of ['fast', 'small', 'qlora'] as const)
  test(`${mode}: made anew, as by a resumed run, it computes the same bits`, async () => {
    assert.deepEqual(await step('tiny-llama', mode), await step('tiny-llama', mode))
  })

test('a processor without products of 8-bit numbers computes in float32 with the same rounded matrices', () => {
  const { config, weights, close } = openBaseModel(goldenDir('tiny-llama'))
  close()
  const formats = (['fast', 'small', 'qlora'] as const).map((precision) =>
    [true, false].map((has) => precisionPlan(precision, config, weights, undefined, has).linear),
  )
  assert.deepEqual(formats, [
    ['w8a8', 'int8'],
    ['w8a16', 'int8'],
    ['w4a16', 'int4'],
  ])
})

type Step = Awaited<ReturnType<typeof step>>

function checkLimits(mode: keyof typeof LIMITS, got: Step, want: Step): void {
  const { layers, error } = compareGradients(got.gradients, want.gradients)
  const limits = LIMITS[mode]
  assert.ok(layers.length >= 2)
  for (const [layer, cosine] of layers.entries())
    assert.ok(cosine > limits.cosine && cosine < 1, `layer ${layer}: cosine ${cosine}`)
  assert.ok(error < limits.error && error > 1e-4, `relative error ${error}`)
  assert.ok(Math.abs(got.loss / want.loss - 1) < limits.loss, `loss ${got.loss}, exact ${want.loss}`)
}

for (const name of MODELS)
  test(`${name}, qlora: the gradients are those of a base of 4 bits, computed in float32`, async () => {
    const rounded = (source: WeightSource) => changed(source, 'F32', (values, info) => (info.name.endsWith('_proj.weight') ? to4Bits(values, info.shape as [number, number]) : values)) // prettier-ignore
    const want = await step(name, 'exact', rounded)
    const got = await step(name, 'qlora')
    const { layers, error } = compareGradients(got.gradients, want.gradients)
    for (const [layer, cosine] of layers.entries()) assert.ok(cosine > 0.99999, `layer ${layer}: ${cosine}`)
    // What the kept tensors lose in 16 bits.
    assert.ok(error < 3e-3, `relative error ${error}`)
    assert.ok(Math.abs(got.loss / want.loss - 1) < 1e-5)
    const original = await step(name, 'exact')
    assert.ok(compareGradients(got.gradients, original.gradients).error > 0.1, 'the base is rounded')
  })

test('a base of 16 bits stays in 16 bits and gives the same gradients', async () => {
  // What both formats hold: bfloat16's 8 bits of fraction, within float16's range.
  const half = (type: WeightInfo['type']) => (source: WeightSource) =>
    changed(source, type, (values) =>
      halfToFloat32(float32ToHalf(bfloat16ToFloat32(float32ToBfloat16(values)))),
    )
  const want = await step('tiny-qwen2', 'exact', half('F32'))
  for (const type of ['F16', 'BF16'] as const) {
    const got = await step('tiny-qwen2', 'exact', half(type))
    assert.equal(got.loss, want.loss)
    assert.deepEqual(got.gradients, want.gradients)
  }
})

test('modes other than exact are refused for the whole graph', async () => {
  const { config, weights, close } = openBaseModel(goldenDir('tiny-llama'))
  const options = {
    config,
    weights,
    adapter: undefined,
    layout: 'whole',
    threads: 1,
    precision: 'fast',
  } as const
  await assert.rejects(createEngine(options), {
    name: 'InputError',
    message: 'precision fast is not made for layout whole; choose layout by-layer, or precision exact',
  })
  close()
})

/**
 * The format of qlora and back, written anew and one number at a time: each row by its root mean square; of each 16 rows of a column the value of largest
 * magnitude becomes -8, its multiplier a whole number of the unit that makes the largest one 15.
 */
function to4Bits(values: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const out = new Float32Array(values.length)
  for (let group = 0; group < rows; group += 16) {
    const own = Array.from({ length: 16 }, (_, i) =>
      values.subarray((group + i) * columns, (group + i + 1) * columns),
    )
    const sizes = own.map((row) => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / columns))
    const extremes = Array.from({ length: columns }, (_, column) =>
      own
        .map((row, i) => (row[column] as number) / (sizes[i] as number))
        .reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0),
    )
    const unit = Math.max(...extremes.map(Math.abs)) / (8 * 15)
    for (const [column, extreme] of extremes.entries()) {
      const multiplier = Math.round(extreme / (-8 * unit)) || 1
      for (const [i, row] of own.entries()) {
        const size = sizes[i] as number
        const number = Math.round((row[column] as number) / size / (multiplier * unit))
        out[(group + i) * columns + column] = size * unit * multiplier * Math.min(7, Math.max(-8, number))
      }
    }
  }
  return out
}
