import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBenchModel } from '../../bench/shaped-model.ts'
import { type PlannedTraining, refuseUnfit } from '../../src/train/refuse-unfit.ts'

const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

function planned(model: string, change: Partial<PlannedTraining> = {}): PlannedTraining {
  const { config, weights } = openBenchModel(model)
  const lora = { r: 16, loraAlpha: 16, loraDropout: 0, targetModules: TARGETS, useRslora: false }
  return { config, weights, lora, precision: 'exact', checkpointing: 'selective', rows: 1, length: 512, ...change } // prettier-ignore
}

const container = (bytes: number) => ({ bytes, of: 'container' as const })
const enough = container(1e12)

for (const { name, training, limit, want, mended } of [
  {
    name: 'too many rows at once: the largest number that divides them and fits',
    training: planned('qwen2.5-0.5b', { rows: 8 }),
    limit: 4.5e9,
    want: /^The training needs about \d+\.\d GB of memory \(weights 0\.99 GB, .*\), but this container has 4\.5 GB; set spec\.train\.perDeviceTrainBatchSize to 2 instead of 8, and gradientAccumulationSteps 4 times higher \(about \d\.\d GB\)$/,
    mended: { rows: 2 },
  },
  {
    name: 'one long row: more is computed again',
    training: planned('qwen2.5-0.5b', { length: 4096 }),
    limit: 3.6e9,
    want: /set spec\.train\.gradientCheckpointing to full \(/,
    mended: { checkpointing: 'full' },
  },
  {
    name: 'weights too large: a smaller format',
    training: planned('qwen2.5-7b'),
    limit: 9e9,
    want: /weights 1\d\.\d GB.* set spec\.train\.precision to qlora, gradientCheckpointing to full \(/,
    mended: { precision: 'qlora', checkpointing: 'full' },
  },
  {
    name: 'too long for any setting: shorter rows',
    training: planned('qwen2.5-0.5b', { precision: 'qlora', checkpointing: 'full', length: 16384 }),
    limit: 2e9,
    want: /set spec\.data\.maxLength to \d+, /,
    mended: { length: 2048 },
  },
  {
    name: 'all weights: smaller moments first',
    training: planned('qwen2.5-0.5b', { lora: 'all-weights', checkpointing: 'full' }),
    limit: 12e9,
    want: /\(weights 1\.9\d? GB|weights 2\.0 GB, gradients and optimizer 1\d\.\d GB.* set spec\.train\.optim to adamw_8bit, gradientCheckpointing to full \(/,
    mended: { momentBits: 8 },
  },
  {
    name: 'all weights: then an adapter',
    training: planned('qwen2.5-0.5b', { lora: 'all-weights' }),
    limit: 5e9,
    want: /set spec\.train\.method to lora, gradientCheckpointing to full \(/,
    mended: { lora: planned('qwen2.5-0.5b').lora, checkpointing: 'full' },
  },
] as const)
  test(`a training without the memory is refused: ${name}`, () => {
    assert.throws(() => refuseUnfit(training, container(limit)), { name: 'InputError', message: want })
    assert.ok(refuseUnfit({ ...training, ...mended }, container(limit)).total <= limit)
  })

test('no setting is enough: what the model would need is named', () => {
  assert.throws(() => refuseUnfit(planned('qwen2.5-7b'), { bytes: 1e9, of: 'machine' }), {
    name: 'InputError',
    message:
      /this machine has 1\.0 GB; no setting of this model is small enough: choose a smaller model, or give it \d+\.\d GB$/,
  })
})

test('what may fit, the estimate being a little too high, is not refused', () => {
  const training = planned('qwen2.5-0.5b')
  const { total } = refuseUnfit(training, enough)
  assert.equal(refuseUnfit(training, container(0.86 * total)).total, total)
  assert.throws(() => refuseUnfit(training, container(0.84 * total)))
})

test('the parts of an estimate are its sum, and each follows its cause', () => {
  const of = (change: Partial<PlannedTraining>) => refuseUnfit(planned('qwen2.5-0.5b', change), enough)
  const { total, ...parts } = of({})
  assert.equal(
    Object.values(parts).reduce((a, b) => a + b, 0),
    total,
  )
  assert.ok(of({ rows: 2 }).activations > 1.9 * parts.activations)
  assert.ok(of({ checkpointing: 'full' }).activations < 0.3 * parts.activations)
  assert.ok(of({ checkpointing: 'none' }).activations > 1.5 * parts.activations)
  const full = of({ lora: 'all-weights' })
  const size = 494e6 * 4
  const close = (found: number, want: number) =>
    assert.ok(Math.abs(found / want - 1) < 0.01, `${found} ${want}`)
  close(full.weights, size)
  // Gradients, two moments, and two copies of weights and moments.
  close(full.adapter, 9 * size)
  close(of({ lora: 'all-weights', momentBits: 8 }).adapter, (1 + 0.5 + 2 * 1.5) * size + 0.024 * size)
  close(of({ lora: 'all-weights', keepsBest: true }).adapter, 12 * size)
  assert.ok(of({ momentBits: 8 }).adapter < 0.6 * parts.adapter)
  // 494 million parameters, of which the layers' 358 million are 4 bits and an 8-bit multiplier for 16 of them.
  assert.ok(Math.abs(of({ precision: 'qlora' }).weights / (358e6 * 0.5625 + 136e6 * 2) - 1) < 0.01)
})
