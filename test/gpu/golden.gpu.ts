import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { checkGolden, isGolden } from '../../scripts/golden-check.ts'

const golden = fileURLToPath(new URL('../fixtures/golden/', import.meta.url))

for (const name of ['tiny-qwen2', 'tiny-llama', 'tiny-qwen3', 'tiny-llama3-rope', 'tiny-qwen2-dora'])
  test(`${name} on CUDA: PyTorch's logits, losses, gradients, ten steps and continuation`, async () => {
    const line = await checkGolden(`${golden}${name}`, 'whole', 2, 'cuda')
    assert.ok(isGolden(line), JSON.stringify(line))
  })
