import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ADAPTER_CONFIG_FILE } from './read-adapter.ts'

/** A model to load: a folder or a .gguf file, and with LoRA the folder of an adapter for it. */
export interface TunedModel {
  path: string
  adapterDir?: string
}

/** What a training made in `dir`: an adapter for the base model at `basePath`, or a whole model (method full). */
export function tunedModel(basePath: string, dir: string): TunedModel {
  return existsSync(join(dir, ADAPTER_CONFIG_FILE)) ? { path: basePath, adapterDir: dir } : { path: dir }
}
