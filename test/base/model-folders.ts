import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../../src/formats/json-file.ts'
import { referenceTokenizers } from '../tokenizer/reference-cases.ts'

const golden = new URL('../fixtures/golden/', import.meta.url).pathname

export type GoldenModel = 'tiny-llama' | 'tiny-qwen2' | 'tiny-qwen3' | 'tiny-llama3-rope'

export const goldenFile = (model: GoldenModel, name: string): string => join(golden, model, name)

/** A copy of a golden model with a tokenizer of its family, as a whole model folder. */
export function modelFolder(parent: string, model: GoldenModel, name: string): string {
  const folder = join(parent, name)
  for (const file of ['config.json', 'generation_config.json', 'model.safetensors'])
    cpSync(goldenFile(model, file), join(folder, file))
  const kind = model.startsWith('tiny-llama') ? 'llama-bpe' : 'qwen2'
  writeJson(folder, 'tokenizer.json', referenceTokenizers[kind]?.tokenizer ?? {})
  writeJson(folder, 'tokenizer_config.json', {
    bos_token: '<|im_start|>',
    eos_token: '<|im_end|>',
    pad_token: '<|endoftext|>',
    unk_token: { __type: 'AddedToken', content: '<|endoftext|>' },
    add_bos_token: model.startsWith('tiny-llama'),
    chat_template: CHATML,
  })
  return folder
}

export const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

export function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value))
}

/** Changes fields of one of a folder's JSON files. */
export function editJson(folder: string, name: string, change: JsonObject): void {
  const json = JSON.parse(readFileSync(join(folder, name), 'utf8')) as JsonObject
  writeJson(folder, name, { ...json, ...change })
}

/** The largest difference over the largest magnitude. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let difference = 0
  let largest = 0
  for (const [i, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs(value - (actual[i] ?? NaN)))
    largest = Math.max(largest, Math.abs(value))
  }
  return difference / largest
}
