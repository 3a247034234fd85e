import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openBaseModel } from '../../src/base/open-base-model.ts'
import { mergedWeights } from '../../src/export/merged-weights.ts'
import { writeAdapter } from '../../src/export/write-adapter.ts'
import { writeGguf } from '../../src/export/write-gguf.ts'
import { writeMergedModel } from '../../src/export/write-merged-model.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { CHATML, goldenFile, modelFolder, type GoldenModel } from '../base/model-folders.ts'
import { goldenAdapter } from '../export/adapters.ts'
import { referenceTokenizers } from '../tokenizer/reference-cases.ts'

// Not part of `npm test`: it fetches PyTorch, PEFT, transformers and llama.cpp from the package indexes, once, into this folder.
const peers = process.env.TEMPER_PEERS ?? join(tmpdir(), 'temper-peers')
const python = join(peers, 'venv', 'bin', 'python')
const here = (name: string) => new URL(name, import.meta.url).pathname
const scratch = mkdtempSync(join(tmpdir(), 'temper-exports-'))
after(() => rmSync(scratch, { recursive: true }))

before(() => {
  mkdirSync(peers, { recursive: true })
  const run = (command: string, args: string[]) =>
    execFileSync(command, args, { cwd: peers, stdio: 'inherit' })
  if (!existsSync(python)) run('python3', ['-m', 'venv', 'venv'])
  run(python, ['-m', 'pip', 'install', '--quiet', '-r', here('requirements.txt')])
  if (!existsSync(join(peers, 'node_modules', 'node-llama-cpp'))) {
    writeFileSync(join(peers, 'package.json'), '{"private": true}')
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', 'node-llama-cpp@3'])
  }
})

interface Found {
  peft_logits: number
  merged_dtype: string
  merged_logits: number
  merged_weights: number
  gguf_types: string[]
  gguf_chat_template: string
  gguf_differs_from_q8: string[]
  gguf_logits_from_q8: number
  gguf_logits: number
  tokens_differ: string[]
  eos: string
  chat: string
}

/** All exports of a golden model with the golden adapter at its start, which the golden logits are of. */
async function exportAll(
  model: GoldenModel,
): Promise<{ folder: string; texts: { text: string; ids: number[] }[] }> {
  const folder = join(scratch, model)
  modelFolder(folder, model, 'base')
  cpSync(goldenFile(model, 'batch.safetensors'), join(folder, 'batch.safetensors'))
  const base = openBaseModel(join(folder, 'base'))
  const { tokenizer } = base
  assert(tokenizer)
  const adapter = goldenAdapter(model, 'adapter_start.safetensors')
  await writeAdapter(join(folder, 'adapter'), adapter, { baseModel: join(folder, 'base') })
  await writeMergedModel(join(folder, 'merged'), base, adapter, { dtype: 'auto', maxShardSize: 300_000 })
  const weights = mergedWeights(base.weights, adapter)
  await writeGguf(join(folder, 'model.gguf'), {
    config: base.config,
    weights,
    tokenizer,
    type: 'Q8_0',
    name: model,
  })
  const cases = referenceTokenizers[model === 'tiny-llama' ? 'llama-bpe' : 'qwen2']?.cases ?? []
  // llama.cpp knows an added token's text only, not its conditions.
  const texts = cases
    .filter(({ text }) => !/tool|<call>/.test(text))
    .map(({ text }) => ({ text, ids: tokenizer.encode(text) }))
  writeFileSync(join(folder, 'texts.json'), JSON.stringify(texts))
  base.close()
  return { folder, texts }
}

for (const model of ['tiny-llama', 'tiny-qwen2'] as const)
  test(`${model}: PEFT, transformers, gguf-py and llama.cpp read what Temper writes`, async (t) => {
    const { folder, texts } = await exportAll(model)
    const found = JSON.parse(
      execFileSync(python, [here('check_exports.py'), folder], { encoding: 'utf8' }),
    ) as Found
    t.diagnostic(JSON.stringify({ ...found, gguf_chat_template: undefined }))
    assert(found.peft_logits < 1e-4 && found.merged_logits < 1e-4, 'logits of PEFT and of the merged model')
    assert(found.merged_weights < 1e-6, 'merged weights')
    assert.equal(found.merged_dtype, 'torch.float32')
    assert.deepEqual(found.gguf_types, ['F32', 'Q8_0'])
    assert.deepEqual(found.gguf_differs_from_q8, [], "every matrix is what gguf-py's own Q8_0 makes of it")
    assert(found.gguf_logits_from_q8 < 1e-5 && found.gguf_logits < 0.1, 'logits of the GGUF')
    assert.equal(found.gguf_chat_template, CHATML)
    assert.deepEqual(found.tokens_differ, [])
    assert.equal(found.eos, '<|im_end|>')
    assert.equal(found.chat, '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n')

    const batch = readSafetensors(join(folder, 'batch.safetensors'))
    const [, length = 0] = batch.infos.get('input_ids')?.shape ?? []
    const sequence = [...(batch.tensor('input_ids') as BigInt64Array).subarray(0, length)].map(Number)
    const logits = batch.float32('logits')
    batch.close()
    writeFileSync(
      join(folder, 'llama.json'),
      JSON.stringify({ sequence, texts: texts.map(({ text }) => text) }),
    )
    const script = [here('check_llama_cpp.mjs'), join(folder, 'model.gguf'), join(folder, 'llama.json')]
    const llama = JSON.parse(execFileSync(process.execPath, script, { cwd: peers, encoding: 'utf8' })) as {
      ids: number[][]
      probabilities: [number, number][][]
    }
    const vocabulary = logits.length / (length * 3)
    const worst = llama.probabilities.map((next, position) => {
      const row = softmax(logits.subarray(position * vocabulary, (position + 1) * vocabulary))
      return Math.max(...next.map(([token, p]) => Math.abs(p - (row[token] ?? NaN))))
    })
    t.diagnostic(`llama.cpp: next-token probabilities differ by ${Math.max(...worst)} at most`)
    assert.equal(worst.length, length)
    assert(Math.max(...worst) < 0.02)
    // llama.cpp does not normalise: of a decomposed text it makes other tokens than Qwen2's own tokenizer.
    const different = texts.filter(
      ({ text, ids }, i) => text === text.normalize('NFC') && String(ids) !== String(llama.ids[i]),
    )
    assert.deepEqual(different, [])
  })

function softmax(logits: Float32Array): Float32Array {
  const largest = Math.max(...logits)
  const exponentials = logits.map((value) => Math.exp(value - largest))
  const sum = exponentials.reduce((a, b) => a + b, 0)
  return exponentials.map((value) => value / sum)
}
