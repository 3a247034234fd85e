import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { mergedWeights } from '../../src/export/merged-weights.ts'
import { readAdapter } from '../../src/export/read-adapter.ts'
import { writeAdapter } from '../../src/export/write-adapter.ts'
import type { Adapter } from '../../src/model/adapter.ts'
import { AdamW } from '../../src/train/adamw.ts'
import { createEngine } from '../../src/train/create-engine.ts'
import type { EngineOptions } from '../../src/train/engine.ts'
import { initialAdapter } from '../../src/train/lora-init.ts'
import { readPadded, readStartAdapter } from '../../scripts/golden-files.ts'
import { copyOf, goldenDir, gradientError } from './tiny-engine.ts'

// PEFT's logits, gradients, steps and merged weights are held against in golden.test.ts.
const dir = goldenDir('tiny-qwen2-dora')
const { batch } = readPadded(dir)

async function engineOf(adapter: Adapter | undefined, options: Partial<EngineOptions> = {}) {
  const { config, weights } = openBaseModel(dir)
  return createEngine({ config, weights, adapter, layout: 'by-layer', threads: 1, ...options })
}

test('DoRA begins as the base model, its magnitudes the lengths of the rows', async () => {
  const { config, weights } = openBaseModel(dir)
  const lora = { r: 4, loraAlpha: 8, loraDropout: 0, targetModules: ['q_proj', 'down_proj'], useRslora: false, useDora: true } // prettier-ignore
  const adapter = initialAdapter(config, lora, 1, weights)
  assert.equal(adapter.tensors.size, 2 * 2 * 3)
  const [tuned, base] = [await engineOf(adapter), await engineOf(undefined)]
  const [found, want] = [await tuned.evaluate(batch), await base.evaluate(batch)]
  assert.ok(Math.abs(found.lossSum / want.lossSum - 1) < 1e-6)
  assert.throws(() => initialAdapter(config, lora, 1), /lengths of the rows/)
  await Promise.all([tuned.dispose(), base.dispose()])
})

test('in every precision that has it, and with every kind of checkpointing, merged and unmerged agree', async () => {
  const adapter = readStartAdapter(dir)
  const exact = await engineOf(adapter)
  const { lossSum } = await exact.accumulate(batch)
  const gradients = copyOf(exact.gradients)
  await exact.dispose()
  for (const checkpointing of ['none', 'selective', 'full'] as const) {
    const engine = await engineOf(adapter, { precision: 'exact', checkpointing })
    await engine.accumulate(batch)
    assert.ok(gradientError(engine.gradients, gradients) < 1e-5, checkpointing)
    await engine.dispose()
  }
  // What a coarser base does to the gradients is for precision.test.ts; here the same errors stand on both sides.
  for (const [precision, tolerance] of [
    ['small', 0.02],
    ['qlora', 0.1],
  ] as const) {
    // prettier-ignore
    const engine = await engineOf(adapter, { precision })
    const found = await engine.accumulate(batch)
    assert.ok(Math.abs(found.lossSum / lossSum - 1) < tolerance, `${precision}: ${found.lossSum}, ${lossSum}`)
    assert.ok(gradientError(engine.gradients, gradients) < 10 * tolerance, precision)
    await engine.dispose()
  }
  const { weights } = openBaseModel(dir)
  const merged = await engineOf(undefined, { weights: mergedWeights(weights, adapter) })
  assert.ok(Math.abs((await merged.evaluate(batch)).lossSum / lossSum - 1) < 1e-5)
  await merged.dispose()
})

test("DoRA's files: read as PEFT writes them, written to the same bytes; a missing magnitude is named", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'temper-dora-'))
  t.after(() => rmSync(folder, { recursive: true }))
  cpSync(join(dir, 'adapter_config.json'), join(folder, 'adapter_config.json'))
  cpSync(join(dir, 'adapter_start.safetensors'), join(folder, 'adapter_model.safetensors'))
  const adapter = readAdapter(folder)
  assert.equal(adapter.config.useDora, true)
  assert.deepEqual(adapter.tensors, readStartAdapter(dir).tensors)
  await writeAdapter(join(folder, 'out'), adapter, { baseModel: 'tiny' })
  assert.deepEqual(readAdapter(join(folder, 'out')), adapter)
  const header = (path: string) => {
    const bytes = readFileSync(path)
    const { __metadata__: _, ...tensors } = JSON.parse(
      bytes.subarray(8, 8 + bytes.readUInt32LE()).toString(),
    ) as Record<string, unknown>
    return tensors
  }
  assert.deepEqual(
    header(join(folder, 'out', 'adapter_model.safetensors')),
    header(join(dir, 'adapter_start.safetensors')),
  )
  adapter.tensors.delete('base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector')
  await assert.rejects(
    writeAdapter(join(folder, 'half'), adapter, { baseModel: 'tiny' }),
    /use_dora: true, but model.layers.0.mlp.up_proj has no magnitudes/,
  )
})

test("with LoRA+ the magnitudes go at B's rate, as in PEFT", () => {
  const adapter = readStartAdapter(dir)
  const before = copyOf(new Map(Array.from(adapter.tensors, ([name, { data }]) => [name, data])))
  const ones = new Map(Array.from(adapter.tensors, ([name, { data }]) => [name, data.slice().fill(1)]))
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, loraplusLrRatio: 4 }
  new AdamW(adapter, options).step(adapter, ones, 1e-3)
  for (const [name, { data }] of adapter.tensors) {
    const moved = ((before.get(name) as Float32Array)[0] as number) - (data[0] as number)
    assert.ok(Math.abs(moved / (name.includes('lora_A') ? 1e-3 : 4e-3) - 1) < 1e-3, name)
  }
})
