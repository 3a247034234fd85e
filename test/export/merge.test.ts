import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { InputError, NonFiniteError } from '../../src/errors.ts'
import { mergedWeights } from '../../src/export/merged-weights.ts'
import { writeMergedModel } from '../../src/export/write-merged-model.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import type { Adapter } from '../../src/model/adapter.ts'
import type { JsonObject } from '../../src/formats/json-file.ts'
import { goldenFile, modelFolder, relativeError } from '../base/model-folders.ts'
import { goldenAdapter, withValue } from './adapters.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-merge-'))
after(() => rmSync(parent, { recursive: true }))
const whole = { dtype: 'auto', maxShardSize: 1e9 } as const
const json = (...path: string[]) => JSON.parse(readFileSync(join(parent, ...path), 'utf8')) as JsonObject

for (const model of ['tiny-llama', 'tiny-qwen2'] as const) {
  test(`${model}: merged weights are PEFT's merge_and_unload`, () => {
    const base = openBaseModel(goldenFile(model, ''))
    const expected = readSafetensors(goldenFile(model, 'merged_after_10_steps.safetensors'))
    const merged = mergedWeights(base.weights, goldenAdapter(model))
    for (const name of expected.infos.keys())
      assert(relativeError(merged.float32(name), expected.float32(name)) < 1e-6, name)
    assert.deepEqual(merged.infos.get('model.layers.0.self_attn.q_proj.weight')?.type, 'F32')
    expected.close()
    base.close()
  })

  test(`${model}: the merged folder opens as a model of its own, tied head left out`, async () => {
    const base = openBaseModel(modelFolder(parent, model, `base-${model}`))
    const dir = join(parent, `out-${model}`)
    assert.deepEqual(await writeMergedModel(dir, base, goldenAdapter(model), whole), { dtype: 'F32' })
    const merged = openBaseModel(dir)
    const expected = readSafetensors(goldenFile(model, 'merged_after_10_steps.safetensors'))
    assert.deepEqual([...merged.weights.infos.keys()].sort(), [...expected.infos.keys()].sort())
    for (const name of expected.infos.keys())
      assert(relativeError(merged.weights.float32(name), expected.float32(name)) < 1e-6, name)
    assert.deepEqual(merged.config.eosTokenIds, base.config.eosTokenIds)
    assert.deepEqual(merged.tokenizer?.encode('a b'), base.tokenizer?.encode('a b'))
    assert.equal(merged.tokenizer?.chatTemplate, base.tokenizer?.chatTemplate)
    expected.close()
    base.close()
    merged.close()
  })
}

test('rsLoRA scales by alpha over the root of r', () => {
  const base = openBaseModel(goldenFile('tiny-llama', ''))
  const plain = goldenAdapter('tiny-llama')
  const scaled: Adapter = { ...plain, config: { ...plain.config, useRslora: true } }
  const name = 'model.layers.0.self_attn.q_proj.weight'
  const [w, once, root] = [base.weights, mergedWeights(base.weights, plain), mergedWeights(base.weights, scaled)]
    .map((source) => source.float32(name)[7] ?? NaN) as [number, number, number] // prettier-ignore
  assert(Math.abs((root - w) / (once - w) - Math.sqrt(plain.config.r)) < 1e-3)
  base.close()
})

test('shards: each below the limit, an index that says where, and the same weights', async () => {
  const base = openBaseModel(modelFolder(parent, 'tiny-llama', 'base-shards'))
  const dir = join(parent, 'shards')
  await writeMergedModel(dir, base, goldenAdapter('tiny-llama'), { dtype: 'auto', maxShardSize: 300_000 })
  const names = readdirSync(dir).filter((name) => name.startsWith('model-'))
  assert.deepEqual(
    names,
    names.map((_, i) => `model-0000${i + 1}-of-0000${names.length}.safetensors`),
  )
  assert(names.length >= 3)
  const index = json('shards', 'model.safetensors.index.json') as {
    metadata: JsonObject
    weight_map: JsonObject
  }
  assert.equal(
    index.metadata.total_size,
    4 * [...base.weights.infos.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0),
  )
  const [sharded, expected] = [openBaseModel(dir), mergedWeights(base.weights, goldenAdapter('tiny-llama'))]
  for (const name of base.weights.infos.keys())
    assert.deepEqual(sharded.weights.float32(name), expected.float32(name))
  sharded.close()
  base.close()
})

test('BF16 and F16 are rounded once, and config.json says so', async () => {
  const base = openBaseModel(modelFolder(parent, 'tiny-llama', 'base-types'))
  for (const [dtype, name, tolerance] of [
    ['BF16', 'bfloat16', 2 ** -8],
    ['F16', 'float16', 2 ** -11],
  ] as const) {
    // prettier-ignore
    const dir = join(parent, dtype)
    await writeMergedModel(dir, base, goldenAdapter('tiny-llama'), { dtype, maxShardSize: 1e9 })
    const merged = openBaseModel(dir)
    assert.equal(json(dtype, 'config.json').dtype, name)
    const tensor = 'model.layers.1.self_attn.v_proj.weight'
    assert.equal(merged.weights.infos.get(tensor)?.type, dtype)
    const exact = mergedWeights(base.weights, goldenAdapter('tiny-llama')).float32(tensor)
    assert(relativeError(merged.weights.float32(tensor), exact) <= tolerance)
    merged.close()
  }
  base.close()
})

test("auto keeps the base's own type", async () => {
  const base = openBaseModel(join(parent, 'BF16'))
  const done = await writeMergedModel(join(parent, 'own'), base, goldenAdapter('tiny-llama'), whole)
  assert.deepEqual(done, { dtype: 'BF16' })
  base.close()
})

test('the trained template and end of turn go into the tokenizer and the generation config', async () => {
  const base = openBaseModel(modelFolder(parent, 'tiny-qwen2', 'base-dialogue'))
  const dialogue = { chatTemplate: 'trained with this', endOfTurn: { id: 0, token: '<|endoftext|>' } }
  await writeMergedModel(join(parent, 'dialogue'), base, goldenAdapter('tiny-qwen2'), { ...whole, dialogue })
  assert.equal(json('dialogue', 'tokenizer_config.json').chat_template, 'trained with this')
  assert.deepEqual(json('dialogue', 'generation_config.json').eos_token_id, [0, 2])
  base.close()
})

test('a value beyond F16 is refused with the mend, NaN always, an adapter of another base too', async () => {
  const base = openBaseModel(modelFolder(parent, 'tiny-llama', 'base-refused'))
  const adapter = goldenAdapter('tiny-llama')
  const huge = { ...adapter, config: { ...adapter.config, loraAlpha: 1e7 } }
  const dir = join(parent, 'refused')
  await assert.rejects(
    writeMergedModel(dir, base, huge, { dtype: 'F16', maxShardSize: 1e9 }),
    /choose BF16 or F32/,
  )
  assert(!existsSync(join(dir, 'model.safetensors')))
  await assert.rejects(writeMergedModel(dir, base, withValue(adapter, 'lora_B', NaN), whole), NonFiniteError)
  await assert.rejects(writeMergedModel(dir, base, goldenAdapter('tiny-qwen2'), whole), (error) => {
    assert(error instanceof InputError)
    assert.match(error.message, /of shape \[64, 64\] but the base model has a shape of \[96, 96\]/)
    return true
  })
  base.close()
})
