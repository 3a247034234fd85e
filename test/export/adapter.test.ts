import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { InputError, NonFiniteError } from '../../src/errors.ts'
import { readAdapter } from '../../src/export/read-adapter.ts'
import { writeAdapter } from '../../src/export/write-adapter.ts'
import type { JsonObject } from '../../src/formats/json-file.ts'
import { editJson } from '../base/model-folders.ts'
import { goldenAdapter, withValue } from './adapters.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-adapter-'))
after(() => rmSync(parent, { recursive: true }))
const origin = { baseModel: 'owner/model', revision: 'c0ffee' }

test("an adapter is written and read again, in the model's order, with PEFT's fields", async () => {
  const dir = join(parent, 'round')
  const adapter = goldenAdapter('tiny-qwen2')
  await writeAdapter(dir, { ...adapter, config: { ...adapter.config, useRslora: true } }, origin)
  const read = readAdapter(dir)
  assert.deepEqual(read.config, { ...adapter.config, useRslora: true })
  assert.deepEqual([...read.tensors], [...adapter.tensors])
  const json = JSON.parse(readFileSync(join(dir, 'adapter_config.json'), 'utf8')) as JsonObject
  assert.equal(json.peft_type, 'LORA')
  assert.equal(json.task_type, 'CAUSAL_LM')
  assert.equal(json.base_model_name_or_path, 'owner/model')
  assert.equal(json.revision, 'c0ffee')
  assert.equal(json.inference_mode, true)
})

test('an adapter with a NaN or an infinity is refused and nothing is written', async () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    const dir = join(parent, `bad-${value}`)
    await assert.rejects(
      writeAdapter(dir, withValue(goldenAdapter('tiny-llama'), 'lora_A', value), origin),
      NonFiniteError,
    )
    assert(!existsSync(dir))
  }
})

test('an adapter whose every lora_B is zero changes nothing and is refused', async () => {
  const adapter = goldenAdapter('tiny-llama')
  for (const [name, { data }] of adapter.tensors) if (name.includes('lora_B')) data.fill(0)
  await assert.rejects(writeAdapter(join(parent, 'zero'), adapter, origin), (error) => {
    assert(error instanceof InputError)
    assert.match(error.message, /the adapter changes nothing/)
    return true
  })
})

const refused: { name: string; change: JsonObject; want: RegExp }[] = [
  { name: 'another kind', change: { peft_type: 'IA3' }, want: /peft_type is "IA3"/ },
  {
    name: 'DoRA without magnitudes',
    change: { use_dora: true },
    want: /use_dora: true, but .* has no magnitudes/,
  },
  { name: 'trained biases', change: { bias: 'all' }, want: /bias is "all"/ },
  {
    name: 'a regular expression for modules',
    change: { rank_pattern: { 'q_proj|k_.*': 4 } },
    want: /rank_pattern is .*supported is module paths/,
  },
  { name: 'whole modules', change: { modules_to_save: ['lm_head'] }, want: /modules_to_save/ },
  { name: 'another rank than the tensors', change: { r: 3 }, want: /have rank 4 and 4, its config says 3/ },
  { name: 'no rank', change: { r: null }, want: /r is null, supported is a number from 1/ },
]
for (const { name, change, want } of refused)
  test(`refused when read: ${name}`, async () => {
    const dir = join(parent, 'refused')
    await writeAdapter(dir, goldenAdapter('tiny-llama'), origin)
    editJson(dir, 'adapter_config.json', change)
    assert.throws(
      () => readAdapter(dir),
      (error) => {
        assert(error instanceof InputError)
        assert.match(error.message, want)
        return true
      },
    )
  })

test('refused when read: a pickle, and half an adapter', async () => {
  const dir = join(parent, 'pickle')
  await writeAdapter(dir, goldenAdapter('tiny-llama'), origin)
  rmSync(join(dir, 'adapter_model.safetensors'))
  writeFileSync(join(dir, 'adapter_model.bin'), '')
  assert.throws(() => readAdapter(dir), /pickle/)
  const adapter = goldenAdapter('tiny-llama')
  const [first = ''] = adapter.tensors.keys()
  adapter.tensors.delete(first)
  await assert.rejects(writeAdapter(dir, adapter, origin), /only one of lora_A and lora_B/)
})
