import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { InputError, NonFiniteError } from '../../src/errors.ts'
import { writeGguf } from '../../src/export/write-gguf.ts'
import { readGguf } from '../../src/formats/gguf-reader.ts'
import type { GgufMetadata } from '../../src/formats/gguf-values.ts'
import { writeGgufFile } from '../../src/formats/gguf-writer.ts'
import { fromNeighbourPairs, toNeighbourPairs } from '../../src/formats/rotary-rows.ts'
import { type GoldenModel, modelFolder, relativeError } from '../base/model-folders.ts'
import { referenceTokenizer, referenceTokenizers } from '../tokenizer/reference-cases.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-gguf-export-'))
after(() => rmSync(parent, { recursive: true }))

test('rows of a head move from halves to neighbours and back', () => {
  // Two heads of four rows, two bytes a row: rows 0 1 | 2 3 pair as (0,2) (1,3).
  const rows = Uint8Array.from([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7])
  const moved = toNeighbourPairs(rows, 2, 4)
  assert.deepEqual([...moved], [0, 0, 2, 2, 1, 1, 3, 3, 4, 4, 6, 6, 5, 5, 7, 7])
  assert.deepEqual(fromNeighbourPairs(moved, 2, 4), rows)
})

async function write(folder: string, path: string, kind?: string): Promise<void> {
  const base = openBaseModel(folder)
  const tokenizer = kind === undefined ? base.tokenizer : referenceTokenizer(kind)
  assert(tokenizer)
  try {
    await writeGguf(path, {
      config: base.config,
      weights: base.weights,
      tokenizer,
      type: 'Q8_0',
      name: 'tiny',
    })
  } finally {
    base.close()
  }
}

async function exported(model: GoldenModel, name: string): Promise<{ folder: string; path: string }> {
  const folder = modelFolder(parent, model, `${name}-folder`)
  const path = join(parent, `${name}.gguf`)
  await write(folder, path)
  return { folder, path }
}

for (const model of ['tiny-llama', 'tiny-qwen2', 'tiny-qwen3', 'tiny-llama3-rope'] as const)
  test(`${model}: the GGUF opens as the same model: config, tokenizer, template, weights within Q8_0's half step`, async () => {
    const { folder, path } = await exported(model, model)
    const [gguf, base] = [openBaseModel(path), openBaseModel(folder)]
    const { json: _, ...config } = gguf.config
    const { json: __, ...expected } = base.config
    assert.deepEqual(config, expected)
    assert.deepEqual([...gguf.weights.infos.keys()].sort(), [...base.weights.infos.keys()].sort())
    for (const [name, { shape }] of base.weights.infos) {
      // A step is the block's largest magnitude / 127; the error is at most half of one, and half's rounding of the scale.
      assert(relativeError(gguf.weights.float32(name), base.weights.float32(name)) < 0.5 / 127 + 1e-3, name)
      // A piece from the middle of a head on, where q and k have their rows in another order.
      for (const { weights } of [gguf, base]) {
        const [whole, width] = [weights.float32(name), shape[1] ?? 1]
        const to = Math.min(21, shape[0] as number)
        assert.deepEqual(weights.rows(name, 3, to), whole.slice(3 * width, to * width), name)
      }
    }
    assert.equal(gguf.tokenizer?.chatTemplate, base.tokenizer?.chatTemplate)
    assert.deepEqual(gguf.tokenizer?.eos, base.tokenizer?.eos)
    assert.deepEqual(gguf.tokenizer?.pad, base.tokenizer?.pad)
    assert.equal(gguf.tokenizer?.addsBos, base.tokenizer?.addsBos)
    gguf.close()
    base.close()
  })

for (const [kind, { cases }] of Object.entries(referenceTokenizers)) {
  if (kind === 'sentencepiece' || kind === 'metaspace') continue
  test(`${kind}: the tokenizer inside a GGUF gives the ids of the one it was made from`, async () => {
    const path = join(parent, `tokenizer-${kind}.gguf`)
    await write(modelFolder(parent, 'tiny-llama', `tokenizer-${kind}`), path, kind)
    const gguf = openBaseModel(path)
    // GGUF has no words for an added token's conditions: texts with such a token are left out.
    for (const { text, ids } of cases.filter(({ text }) => !/tool|<call>/.test(text)))
      assert.deepEqual(gguf.tokenizer?.encode(text), ids, text)
    gguf.close()
  })
}

test('in the file: q and k of a Llama are moved, a tied head is absent, norms are F32, unused rows are marked', async () => {
  const llama = await exported('tiny-llama', 'inside-llama')
  const [file, base] = [readGguf(llama.path), openBaseModel(llama.folder)]
  const rows = (values: Float32Array, row: number) => values.subarray(row * 96, row * 96 + 96)
  const [written, original] = [
    file.float32('blk.0.attn_q.weight'),
    base.weights.float32('model.layers.0.self_attn.q_proj.weight'),
  ]
  // head_dim 16: row 1 of a head in the file is row 8 of the head in Hugging Face's order.
  assert(relativeError(rows(written, 1), rows(original, 8)) < 0.01)
  assert(relativeError(rows(written, 1), rows(original, 1)) > 0.1)
  assert.equal(file.infos.get('blk.0.attn_norm.weight')?.type, 'F32')
  assert.equal(file.infos.get('output.weight')?.type, 'Q8_0')
  const tokens = file.metadata.get('tokenizer.ggml.tokens')?.value as string[]
  const types = file.metadata.get('tokenizer.ggml.token_type')?.value as number[]
  assert.equal(tokens.length, 384)
  assert.equal(tokens.at(-1), '[PAD383]')
  assert.equal(types.at(-1), 5)
  assert.equal(types[2], 3, '<|im_end|> is a control token')
  file.close()
  base.close()

  const qwen = readGguf((await exported('tiny-qwen2', 'inside-qwen2')).path)
  assert(!qwen.infos.has('output.weight'))
  assert.equal(qwen.metadata.get('qwen2.rope.freq_base')?.value, 1_000_000)
  assert.equal(qwen.metadata.get('general.quantization_version')?.value, 2)
  assert.equal(qwen.metadata.get('tokenizer.ggml.pre')?.value, 'qwen2')
  qwen.close()
})

test('a NaN is refused and leaves no file; a tokenizer that GGUF has no name for is refused', async () => {
  const folder = modelFolder(parent, 'tiny-llama', 'nan')
  const path = join(parent, 'nan.gguf')
  const base = openBaseModel(folder)
  const weights = { ...base.weights, float32: (name: string) => base.weights.float32(name).fill(NaN, 5, 6) }
  const tokenizer = referenceTokenizer('smollm')
  const poisoned = writeGguf(path, { config: base.config, weights, tokenizer, type: 'Q8_0', name: 'x' })
  await assert.rejects(poisoned, NonFiniteError)
  assert(!existsSync(path))
  base.close()
  await assert.rejects(write(folder, path, 'metaspace'), /the base model's tokenizer has no name in GGUF/)
})

const change =
  (key: string, value: GgufMetadata extends Map<string, infer V> ? V : never) => (m: GgufMetadata) =>
    void m.set(key, value)
const refused: { name: string; spoil: (metadata: GgufMetadata) => void; extra?: string; want: RegExp }[] = [
  {
    name: 'an adapter',
    spoil: change('general.type', { type: 'STRING', value: 'adapter' }),
    want: /is a GGUF of type "adapter", not a model/,
  },
  {
    name: 'another architecture',
    spoil: change('general.architecture', { type: 'STRING', value: 'gemma3' }),
    want: /architecture is "gemma3", supported are llama, qwen2, qwen3/,
  },
  {
    name: 'a missing key',
    spoil: (m) => void m.delete('llama.block_count'),
    want: /has no llama\.block_count/,
  },
  {
    name: 'experts',
    spoil: change('llama.expert_count', { type: 'UINT32', value: 8 }),
    want: /mixture of experts/,
  },
  {
    name: 'scaled rope',
    spoil: change('llama.rope.scaling.factor', { type: 'FLOAT32', value: 8 }),
    want: /scales its rotary embedding/,
  },
  {
    name: 'rope factors',
    spoil: () => {},
    extra: 'rope_freqs.weight',
    want: /rope_freqs\.weight are not those of Llama 3\.1's/,
  },
  {
    name: 'a tensor of another design',
    spoil: () => {},
    extra: 'blk.0.attn_q_norm.weight',
    want: /"blk\.0\.attn_q_norm\.weight", which is not supported/,
  },
  {
    name: 'a SentencePiece vocabulary',
    spoil: change('tokenizer.ggml.model', { type: 'STRING', value: 'llama' }),
    want: /tokenizer\.ggml\.model is "llama", supported is "gpt2"/,
  },
  {
    name: 'an unknown pre-tokenizer',
    spoil: change('tokenizer.ggml.pre', { type: 'STRING', value: 'tekken' }),
    want: /tokenizer\.ggml\.pre is "tekken", supported are smollm/,
  },
  {
    name: 'a special token beyond the vocabulary',
    spoil: change('tokenizer.ggml.eos_token_id', { type: 'UINT32', value: 9999 }),
    want: /eos_token_id is beyond the vocabulary/,
  },
  {
    name: 'a broken merge',
    spoil: change('tokenizer.ggml.merges', { type: 'ARRAY', of: 'STRING', value: ['ab'] }),
    want: /merges holds "ab"/,
  },
]
for (const { name, spoil, extra, want } of refused)
  test(`refused when opened: ${name}`, async () => {
    const source = join(parent, 'tiny-llama.gguf')
    const file = readGguf(existsSync(source) ? source : (await exported('tiny-llama', 'tiny-llama')).path)
    const metadata: GgufMetadata = new Map(file.metadata)
    spoil(metadata)
    const tensors = [...file.infos.values()].map(({ name, type, shape }) => ({
      name,
      type,
      shape,
      data: () => file.bytes(name),
    }))
    if (extra) tensors.push({ name: extra, type: 'F32', shape: [2], data: () => new Uint8Array(8) })
    const path = join(parent, 'spoilt.gguf')
    await writeGgufFile(path, metadata, tensors)
    file.close()
    assert.throws(() => openBaseModel(path), want)
  })

test('a GGUF that lacks a tensor, or has one of another shape: file, tensor and shapes are named', async () => {
  const { path } = await exported('tiny-llama', 'spoilt')
  const file = readGguf(path)
  const tensors = Array.from(file.infos.values(), ({ name, type, shape }) => {
    const half = name === 'blk.1.ffn_up.weight'
    const [rows = 1, ...rest] = shape
    const to = half ? rows / 2 : rows
    return { name, type, shape: [to, ...rest], data: () => file.bytes(name, 0, to) }
  })
  const spoilt = join(parent, 'spoilt-again.gguf')
  await writeGgufFile(spoilt, file.metadata, tensors)
  const says = (start: string) => (error: unknown) =>
    error instanceof InputError && error.message.startsWith(`${spoilt}: ${start}`)
  assert.throws(
    () => openBaseModel(spoilt),
    says(
      'the tensor model.layers.1.mlp.up_proj.weight has shape [96, 96] but its config calls for [192, 96]; ',
    ),
  )
  const absent = 'blk.0.attn_q.weight'
  await writeGgufFile(spoilt, file.metadata, tensors.filter(({ name }) => name !== absent)) // prettier-ignore
  assert.throws(
    () => openBaseModel(spoilt),
    says('lacks the tensor model.layers.0.self_attn.q_proj.weight [96, 96] '),
  )
  file.close()
})
