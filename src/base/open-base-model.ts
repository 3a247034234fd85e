import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { readGguf } from '../formats/gguf-reader.ts'
import { readJsonFile } from '../formats/json-file.ts'
import { parseModelConfig } from '../model/parse-config.ts'
import { tokenizerFromGguf } from '../tokenizer/gguf-tokenizer.ts'
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts'
import type { BaseModel } from './base-model.ts'
import { openFolderWeights, PICKLE } from './folder-weights.ts'
import { ggufConfig } from './gguf-config.ts'
import { ggufWeights } from './gguf-weights.ts'
import { checkModelTensors } from './model-tensors.ts'

/**
 * Opens a local base model: a Hugging Face folder or a .gguf file. Config, headers and tokenizer are read and checked; weights
 * are read and decoded only when they are asked for. InputError says in one sentence what is missing, damaged or unsupported.
 */
export function openBaseModel(path: string): BaseModel {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) throw new InputError(`${path}: there is no such folder or file; check model.source`)
  if (stat.isDirectory()) return openFolder(path)
  if (path.endsWith('.gguf')) return openGguf(path)
  throw new InputError(
    PICKLE.test(path)
      ? `${path}: is a pickle, which can run any code when it is loaded, and is refused; name a folder with safetensors or a .gguf file`
      : `${path}: is neither a model folder nor a .gguf file; name one of these`,
  )
}

function openFolder(folder: string): BaseModel {
  const where = join(folder, 'config.json')
  if (!existsSync(where))
    throw new InputError(
      `${folder}: has no config.json; name the folder of a whole model as Hugging Face lays it out`,
    )
  const generation = join(folder, 'generation_config.json')
  const generationConfig = existsSync(generation) ? readJsonFile(generation) : undefined
  const config = parseModelConfig(readJsonFile(where), where, generationConfig)
  const weights = openFolderWeights(folder)
  try {
    checkModelTensors(config, weights)
    const tokenizer = loadTokenizer(folder, config.eosTokenIds[0])
    return {
      config,
      weights,
      ...(tokenizer ? { tokenizer } : {}),
      ...(generationConfig ? { generationConfig } : {}),
      close: () => weights.close(),
    }
  } catch (error) {
    weights.close()
    throw error
  }
}

function openGguf(path: string): BaseModel {
  const file = readGguf(path)
  try {
    const { config: json, generationConfig } = ggufConfig(file)
    const config = parseModelConfig(json, path, generationConfig)
    const weights = ggufWeights(file, config)
    checkModelTensors(config, weights)
    const tokenizer = tokenizerFromGguf(file.metadata, path)
    return { config, weights, tokenizer, generationConfig, close: () => weights.close() }
  } catch (error) {
    file.close()
    throw error
  }
}
