import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { readJsonFile, readTextFile } from '../formats/json-file.ts'
import { createTokenizer } from './create-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

/**
 * The tokenizer of a Hugging Face model folder: tokenizer.json, tokenizer_config.json and, where it is a file of its own,
 * chat_template.jinja. Undefined where the folder has no tokenizer at all. InputError names the file that is damaged.
 */
export function loadTokenizer(folder: string, eosTokenId?: number): Tokenizer | undefined {
  const where = join(folder, 'tokenizer.json')
  if (!existsSync(where)) {
    const old = ['tokenizer.model', 'vocab.json', 'vocab.txt'].find((name) => existsSync(join(folder, name)))
    if (old)
      throw new InputError(
        `${folder}: has ${old} but no tokenizer.json; save the tokenizer again with a fast tokenizer's save_pretrained`,
      )
    return undefined
  }
  const tokenizer = readJsonFile(where)
  const configPath = join(folder, 'tokenizer_config.json')
  const tokenizerConfig = existsSync(configPath) ? readJsonFile(configPath) : {}
  const templatePath = join(folder, 'chat_template.jinja')
  if (existsSync(templatePath)) tokenizerConfig.chat_template = readTextFile(templatePath)
  return createTokenizer({
    tokenizer,
    tokenizerConfig,
    where,
    ...(eosTokenId === undefined ? {} : { eosTokenId }),
  })
}
