import { readFileSync } from 'node:fs'
import type { JsonObject } from '../../src/formats/json-file.ts'
import { createTokenizer } from '../../src/tokenizer/create-tokenizer.ts'
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts'

interface ReferenceCase {
  text: string
  ids: number[]
  decoded: string
}

/** Small tokenizers of each kind with what Python's tokenizers makes of awkward text (test/peers/tokenizer_cases.py). */
const file = new URL('../fixtures/tokenizer-cases.json', import.meta.url)
export const referenceTokenizers = JSON.parse(readFileSync(file, 'utf8')) as Record<
  string,
  { tokenizer: JsonObject; cases: ReferenceCase[] }
>

export function referenceTokenizer(kind: string, tokenizerConfig: JsonObject = {}): Tokenizer {
  const entry = referenceTokenizers[kind]
  if (!entry) throw new Error(`no tokenizer ${kind} in the fixture`)
  return createTokenizer({
    tokenizer: entry.tokenizer,
    tokenizerConfig: { eos_token: '<|im_end|>', ...tokenizerConfig },
    where: 'tokenizer.json',
  })
}
