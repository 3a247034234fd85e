import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NonFiniteError } from '../../src/errors.ts'
import type { Adapter } from '../../src/model/adapter.ts'
import { AdamW } from '../../src/train/adamw.ts'
import type { NamedRows } from '../../src/train/batches.ts'
import { planSteps } from '../../src/train/step-plan.ts'
import { trainStep } from '../../src/train/train-step.ts'
import { sample, tinyEngine } from '../engine/tiny-engine.ts'
import { trainSettings } from './settings.ts'

const samples = [1, 2].map((seed) => sample(seed, 9))
const rows: NamedRows = {
  count: 2,
  id: (row) => `row${row}`,
  ids: (row) => Int32Array.from(samples[row]?.ids ?? []),
  lossMask: (row) => Uint8Array.from(samples[row]?.targets ?? []),
}
const settings = trainSettings({ perDeviceTrainBatchSize: 2 })

const fill = (adapter: Adapter, ending: string, value: number) => {
  for (const [name, { data }] of adapter.tensors) if (name.endsWith(ending)) data.fill(value)
}
const POISONS: { what: string; poison: (adapter: Adapter) => Adapter; activations: RegExp }[] = [
  {
    what: 'loss',
    poison: (adapter) => {
      fill(adapter, 'layers.1.mlp.down_proj.lora_B.weight', 3e38)
      return adapter
    },
    activations: /the largest activations: (NaN|Infinity|inf) in layer 2, (NaN|Infinity) in layer 3, \d/,
  },
  {
    // B is zero, so that the forward pass is sound; A's products with this scale are too large for its gradient.
    what: 'gradient',
    poison: (adapter) => {
      fill(adapter, 'lora_B.weight', 0)
      fill(adapter, 'lora_A.weight', 1e14)
      return { ...adapter, config: { ...adapter.config, loraAlpha: 1e30 } }
    },
    activations: /the largest activations: \d[^N]* in layer \d, \d[^N]* in layer \d, \d[^N]* in layer \d\)/,
  },
]
for (const layout of ['by-layer', 'whole'] as const)
  for (const { what, poison, activations } of POISONS)
    test(`a ${what} that is not finite, ${layout}: step, rows and largest activations, and nothing is changed`, async () => {
      const engine = await tinyEngine('tiny-qwen2', layout, poison)
      const before = Array.from(engine.trained.tensors.values(), ({ data }) => data.slice())
      const optimizer = new AdamW(engine.trained, { beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weightDecay: 0 })
      const step = trainStep(3, 1e-3, {
        engine,
        optimizer,
        plan: planSteps(2, { ...settings, groupByLength: undefined }),
        rows,
        packs: [[0], [1]],
        settings,
        signal: new AbortController().signal,
        report: () => {},
      })
      await assert.rejects(step, (error) => {
        assert.ok(error instanceof NonFiniteError)
        assert.match(
          error.message,
          new RegExp(`^The ${what} of step 4 is not finite \\(rows row\\d, row\\d;`),
        )
        assert.match(error.message, activations)
        return true
      })
      assert.equal(optimizer.state.step, 0)
      assert.deepEqual(
        Array.from(engine.trained.tensors.values(), ({ data }) => data),
        before,
      )
      await engine.dispose()
    })
