import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import type { LoraConfig } from '../../src/model/adapter.ts'
import type { NamedRows } from '../../src/train/batches.ts'
import { choosePrecision, LEAST_TOKENS } from '../../src/train/choose-precision.ts'
import { hasInt8Products } from '../../src/onnx/instruction-set.ts'
import { goldenDir, sample } from '../engine/tiny-engine.ts'
import { changedWeights } from '../support/changed-weights.ts'

const LORA: LoraConfig = {
  r: 4,
  loraAlpha: 4,
  loraDropout: 0,
  targetModules: ['q_proj', 'v_proj', 'down_proj'],
  useRslora: false,
}

function rowsOf(count: number): NamedRows {
  const samples = Array.from({ length: count }, (_, row) => sample(row, 60))
  const at = (row: number) => samples[row] ?? sample(row, 0)
  return {
    count,
    id: (row) => at(row).id,
    ids: (row) => Int32Array.from(at(row).ids),
    lossMask: (row) => Uint8Array.from(at(row).targets),
  }
}

type Job = Parameters<typeof choosePrecision>[0]

async function choose(change: Partial<Job> = {}) {
  const base = openBaseModel(goldenDir('tiny-qwen2'))
  const layers: number[] = []
  try {
    const choice = await choosePrecision({
      base,
      rows: rowsOf(40),
      lora: LORA,
      threads: 1,
      seed: 0,
      plannedTokens: LEAST_TOKENS,
      progress: (layer) => layers.push(layer),
      ...change,
    })
    return { ...choice, layers: layers.length }
  } finally {
    base.close()
  }
}

/** A channel of the MLP that is always zero, and whose weights are so large that 8 bits a row leave nothing of the others. */
function withDeadChannel() {
  const { config, weights } = openBaseModel(goldenDir('tiny-qwen2'))
  const source = changedWeights(weights, 'F32', ({ name, shape }) => {
    const values = weights.float32(name).slice()
    const columns = shape[1] ?? 0
    if (name.endsWith('gate_proj.weight')) values.fill(0, 0, columns)
    if (name.endsWith('down_proj.weight')) for (let i = 0; i < values.length; i += columns) values[i] = 1000
    return values
  })
  return { config, weights: source }
}

test(
  'auto becomes fast where its gradients are those of float32, and says what it saw',
  {
    skip: hasInt8Products() ? false : 'this processor has no int8 products',
  },
  async () => {
    const { chosen, why, compared, layers } = await choose()
    assert.equal(chosen, 'fast', why)
    assert.ok(compared)
    assert.ok(compared.tokens >= 512 && compared.lowestLayerCosine >= 0.95 && compared.lowestLayerCosine < 1)
    assert.ok(
      Math.abs(compared.loss / compared.exactLoss - 1) <= 0.01 && compared.loss !== compared.exactLoss,
    )
    assert.match(
      why,
      /^on \d+ tokens of this job's rows the gradients' lowest cosine with float32 is 0\.9\d+ in fast/,
    )
    assert.ok(layers > 0, 'progress is told of')
  },
)

test(
  'auto stays exact where 8 bits lose the gradients',
  {
    skip: hasInt8Products() ? false : 'this processor has no int8 products',
  },
  async () => {
    const { chosen, why, compared } = await choose({ base: withDeadChannel() })
    assert.equal(chosen, 'exact', `${why} ${JSON.stringify(compared)}`)
    assert.match(why, /wanted are 0\.85 and 1 %$/)
  },
)

test('auto stays exact without a comparison, and says why', async (t) => {
  const cases: [string, Partial<Job>, RegExp][] = [
    ['DoRA', { lora: { ...LORA, useDora: true } }, /DoRA/],
    ['a short training', { plannedTokens: LEAST_TOKENS - 1 }, /19999 tokens, fewer than 20000/],
    ['no rows beside the calibrated ones', { rows: rowsOf(9) }, /too few rows/],
  ]
  for (const [name, change, reason] of cases)
    await t.test(name, async () => {
      const { chosen, why, compared, layers } = await choose(change)
      assert.deepEqual([chosen, compared, layers], ['exact', undefined, 0])
      if (hasInt8Products()) assert.match(why, reason)
    })
})

test(
  'auto stays exact where there is nothing to compare by, and keeps no figure that JSON has not',
  { skip: hasInt8Products() ? false : 'this processor has no int8 products' },
  async () => {
    const rows = rowsOf(40)
    const { chosen, why, compared } = await choose({
      rows: { ...rows, lossMask: (row) => rows.lossMask(row).fill(0) },
    })
    assert.deepEqual([chosen, compared], ['exact', undefined])
    assert.match(why, /are no numbers$/)
  },
)

test('int8 products are known by the processor’s features', () => {
  assert.equal(hasInt8Products('avx2 fma avx512f avx512_vnni'), true)
  assert.equal(hasInt8Products('asimd asimddp'), true)
  assert.equal(hasInt8Products('avx avx2 fma avx512f'), false)
})
