import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { InputError } from '../../src/errors.ts'
import { readSafetensors, writeSafetensors, type TensorToWrite } from '../../src/formats/safetensors.ts'
import { editJson, goldenFile, modelFolder, writeJson } from './model-folders.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-base-'))
after(() => rmSync(parent, { recursive: true }))
let counter = 0
const fresh = (model: 'tiny-llama' | 'tiny-qwen2' = 'tiny-llama') =>
  modelFolder(parent, model, `model-${++counter}`)

test('a folder opens with config, tokenizer and generation config; weights come when asked for', () => {
  const folder = fresh()
  editJson(folder, 'generation_config.json', { eos_token_id: [2, 0] })
  const model = openBaseModel(folder)
  assert.equal(model.config.family, 'llama')
  assert.deepEqual(model.config.eosTokenIds, [2, 0])
  assert.equal(model.tokenizer?.eos.token, '<|im_end|>')
  assert.equal(model.tokenizer?.addsBos, true)
  const file = readSafetensors(goldenFile('tiny-llama', 'model.safetensors'))
  const name = 'model.layers.1.self_attn.k_proj.weight'
  assert.deepEqual(model.weights.float32(name), file.float32(name))
  assert.notEqual(
    model.weights.float32(name).buffer,
    model.weights.float32(name).buffer,
    'a fresh buffer each time',
  )
  file.close()
  model.close()
})

test('a folder without a tokenizer opens too: the golden directories have none', () => {
  const model = openBaseModel(goldenFile('tiny-qwen2', ''))
  assert.equal(model.tokenizer, undefined)
  model.close()
})

test('a chat template in a file of its own comes before the one in tokenizer_config.json', () => {
  const folder = fresh()
  writeFileSync(join(folder, 'chat_template.jinja'), 'the newer one')
  const model = openBaseModel(folder)
  assert.equal(model.tokenizer?.chatTemplate, 'the newer one')
  model.close()
})

async function split(folder: string): Promise<void> {
  const file = readSafetensors(join(folder, 'model.safetensors'))
  const tensors = [...file.infos.values()].map(({ name, type, shape }): TensorToWrite => ({
    name,
    type,
    shape,
    data: file.tensor(name),
  }))
  file.close()
  rmSync(join(folder, 'model.safetensors'))
  const map: Record<string, string> = {}
  for (const [i, part] of [tensors.slice(0, 10), tensors.slice(10)].entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`
    await writeSafetensors(join(folder, name), part)
    for (const tensor of part) map[tensor.name] = name
  }
  writeJson(folder, 'model.safetensors.index.json', { metadata: {}, weight_map: map })
}

test('shards are read through their index', async () => {
  const folder = fresh()
  await split(folder)
  const [sharded, whole] = [openBaseModel(folder), openBaseModel(goldenFile('tiny-llama', ''))]
  assert.deepEqual([...sharded.weights.infos.keys()].sort(), [...whole.weights.infos.keys()].sort())
  for (const name of whole.weights.infos.keys())
    assert.deepEqual(sharded.weights.bytes(name), whole.weights.bytes(name))
  sharded.close()
  whole.close()
})

const indexed = (place: string) => ({ weight_map: { 'model.norm.weight': place } })
const refused: { name: string; spoil: (folder: string) => unknown; path?: string; want: RegExp }[] = [
  {
    name: 'no config.json',
    spoil: (f) => rmSync(join(f, 'config.json')),
    want: /has no config\.json; name the folder/,
  },
  {
    name: 'a config.json that is cut off',
    spoil: (f) => writeFileSync(join(f, 'config.json'), '{"a'),
    want: /config\.json: is not JSON/,
  },
  {
    name: 'a config.json that is a list',
    spoil: (f) => writeFileSync(join(f, 'config.json'), '[]'),
    want: /is not a JSON object/,
  },
  {
    name: 'another architecture',
    spoil: (f) => editJson(f, 'config.json', { architectures: ['BertModel'], model_type: 'bert' }),
    want: /Bert/i,
  },
  {
    name: 'no weights',
    spoil: (f) => rmSync(join(f, 'model.safetensors')),
    want: /has neither model\.safetensors nor/,
  },
  {
    name: 'weights as a pickle',
    spoil: (f) => renameSync(join(f, 'model.safetensors'), join(f, 'pytorch_model.bin')),
    want: /pytorch_model\.bin: is a pickle, which can run any code when it is loaded, and is refused/,
  },
  {
    name: 'weights cut off',
    spoil: (f) =>
      writeFileSync(join(f, 'model.safetensors'), readFileSync(join(f, 'model.safetensors')).subarray(0, -8)),
    want: /beyond the end of the file/,
  },
  {
    name: 'config and weights of two models',
    spoil: (f) => editJson(f, 'config.json', { intermediate_size: 100 }),
    want: /model\.safetensors: the tensor model\.layers\.0\.mlp\.gate_proj\.weight has shape \[192, 96\] but its config calls for \[100, 96\]/,
  },
  {
    name: 'more layers than weights',
    spoil: (f) => editJson(f, 'config.json', { num_hidden_layers: 3 }),
    want: /model\.safetensors: lacks the tensor model\.layers\.2\.input_layernorm\.weight \[96\]/,
  },
  {
    name: 'an index that leaves the folder',
    spoil: (f) => writeJson(f, 'model.safetensors.index.json', indexed('../model.safetensors')),
    want: /which is no \.safetensors file of this folder/,
  },
  {
    name: 'an index into a pickle',
    spoil: (f) => writeJson(f, 'model.safetensors.index.json', indexed('model.bin')),
    want: /which is no \.safetensors file/,
  },
  {
    name: 'an index of no shard',
    spoil: (f) => writeJson(f, 'model.safetensors.index.json', indexed('gone.safetensors')),
    want: /gone\.safetensors: there is no such file/,
  },
  {
    name: 'an index that is wrong',
    spoil: (f) =>
      writeJson(f, 'model.safetensors.index.json', { weight_map: { absent: 'model.safetensors' } }),
    want: /lacks the tensor "absent"/,
  },
  {
    name: 'an index without a map',
    spoil: (f) => writeJson(f, 'model.safetensors.index.json', {}),
    want: /has no weight_map/,
  },
  {
    name: 'a tokenizer of another kind',
    spoil: (f) => renameSync(join(f, 'tokenizer.json'), join(f, 'tokenizer.model')),
    want: /has tokenizer\.model but no tokenizer\.json/,
  },
]
for (const { name, spoil, want } of refused)
  test(`refused: ${name}`, () => {
    const folder = fresh()
    spoil(folder)
    assert.throws(
      () => openBaseModel(folder),
      (error) => {
        assert(error instanceof InputError)
        assert.match(error.message, want)
        assert(error.message.startsWith(folder), 'names the place')
        return true
      },
    )
  })

test('refused: a path that is nothing, a pickle, or another file', () => {
  assert.throws(() => openBaseModel(join(parent, 'absent')), /there is no such folder or file/)
  writeFileSync(join(parent, 'model.pt'), '')
  assert.throws(() => openBaseModel(join(parent, 'model.pt')), /is a pickle/)
  writeFileSync(join(parent, 'model.onnx'), '')
  assert.throws(
    () => openBaseModel(join(parent, 'model.onnx')),
    /is neither a model folder nor a \.gguf file/,
  )
})
