import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import { relativeError } from '../../scripts/golden-check.ts'
import { readExpected, readFloats, readPadded, readStartAdapter } from '../../scripts/golden-files.ts'

/** How far a tensor's gradient may be from PyTorch's in float64, relative to its largest value: bfloat16 has 8 bits. */
const LIMITS = { fp16: 0.03, bf16: 0.2 }

for (const name of ['tiny-qwen2', 'tiny-llama', 'tiny-qwen3'])
  for (const precision of ['fp16', 'bf16'] as const)
    test(`${name} on CUDA in ${precision}: loss and gradients near PyTorch's in float64`, async () => {
      const dir = fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url))
      const { config, weights, close } = openBaseModel(dir)
      const engine = await createEngine({ config, weights, adapter: readStartAdapter(dir), layout: 'whole', device: 'cuda', precision, threads: 2 }) // prettier-ignore
      const { lossSum, tokens } = await engine.accumulate(readPadded(dir).batch, undefined, undefined, 65_536)
      assert.ok(relativeError([lossSum / tokens], [readExpected(dir).loss]) < 0.02)
      for (const [tensor, wanted] of readFloats(dir, 'gradients')) {
        const found = (engine.gradients.get(tensor) as Float32Array).map((value) => value / tokens)
        assert.ok(relativeError(found, wanted) < LIMITS[precision], tensor)
      }
      await engine.dispose()
      close()
    })
