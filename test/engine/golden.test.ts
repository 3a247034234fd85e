import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { checkGolden, GOLDEN_TOLERANCE, isGolden } from '../../scripts/golden-check.ts'

const golden = fileURLToPath(new URL('../fixtures/golden/', import.meta.url))

for (const name of [
  'tiny-qwen2',
  'tiny-llama',
  'tiny-qwen3',
  'tiny-llama3-rope',
  'tiny-qwen2-dora',
  'tiny-llama-dora',
])
  for (const layout of ['by-layer', 'whole'] as const)
    test(`${name}, ${layout}: PyTorch's logits, losses, gradients, ten steps, merged weights and continuation`, async () => {
      const line = await checkGolden(`${golden}${name}`, layout, 2)
      assert.ok(isGolden(line), `above ${GOLDEN_TOLERANCE} or another continuation: ${JSON.stringify(line)}`)
      for (const [key, value] of Object.entries(line))
        if (typeof value === 'number') assert.ok(Number.isFinite(value), key)
      assert.equal(isGolden({ ...line, merged: 2 * GOLDEN_TOLERANCE }), false)
      assert.equal(isGolden({ ...line, greedy: false }), false)
    })
