import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../errors.ts'
import { readJsonFile, type JsonObject } from '../formats/json-file.ts'
import { readSafetensors } from '../formats/safetensors.ts'
import type { Adapter, LoraConfig } from '../model/adapter.ts'
import { adapterModules, compareAdapterNames } from './adapter-modules.ts'

/** Only the folder of an adapter has it. */
export const ADAPTER_CONFIG_FILE = 'adapter_config.json'

/**
 * Reads a PEFT LoRA adapter. InputError names what is missing, damaged, or of PEFT's many variants not supported: ignoring one
 * would be another model.
 */
export function readAdapter(dir: string): Adapter {
  const where = join(dir, ADAPTER_CONFIG_FILE)
  const config = parseAdapterConfig(readJsonFile(where), where)
  const weights = join(dir, 'adapter_model.safetensors')
  if (!existsSync(weights) && existsSync(join(dir, 'adapter_model.bin')))
    throw new InputError(
      `${dir}: has its weights as a pickle, which can run any code, and is refused; save the adapter as safetensors`,
    )
  const file = readSafetensors(weights)
  try {
    const adapter: Adapter = { config, tensors: new Map() }
    for (const name of [...file.infos.keys()].sort(compareAdapterNames)) {
      const { shape = [] } = file.infos.get(name) ?? {}
      const [rows, columns, ...rest] = shape.length === 1 ? [1, ...shape] : shape
      if (rows === undefined || columns === undefined || rest.length > 0)
        throw new InputError(`${weights}: the tensor ${name} is no matrix; use a plain LoRA adapter`)
      adapter.tensors.set(name, { shape: [rows, columns], data: file.float32(name) })
    }
    adapterModules(adapter)
    return adapter
  } finally {
    file.close()
  }
}

/** PEFT's adapter_config.json. InputError names a field that is not supported. */
export function parseAdapterConfig(json: JsonObject, where: string): LoraConfig {
  const unsupported = (field: string, supported: string): never => {
    throw new InputError(
      `${where}: ${field} is ${JSON.stringify(json[field])}, supported is ${supported}; use a plain LoRA adapter`,
    )
  }
  if (json.peft_type !== 'LORA') unsupported('peft_type', '"LORA"')
  if ((json.bias ?? 'none') !== 'none') unsupported('bias', '"none"')
  for (const field of ['fan_in_fan_out', 'lora_bias']) if (json[field] === true) unsupported(field, 'false')
  /** PEFT's keys may be any regular expression; a path is one that means itself. */
  const pattern = (field: string): Record<string, number> | undefined => {
    const entries = Object.entries(json[field] ?? {})
    if (entries.some(([key, value]) => !/^[\w.]+$/.test(key) || !(typeof value === 'number' && value > 0)))
      return unsupported(field, 'module paths with a number above 0')
    return entries.length === 0 ? undefined : Object.fromEntries(entries)
  }
  const rankPattern = pattern('rank_pattern')
  const alphaPattern = pattern('alpha_pattern')
  for (const field of ['modules_to_save', 'layer_replication', 'trainable_token_indices'])
    if ((json[field] ?? null) !== null) unsupported(field, 'null')
  const number = (field: string, least: number): number => {
    const value = json[field]
    return typeof value === 'number' && value >= least ? value : unsupported(field, `a number from ${least}`)
  }
  const targets = json.target_modules
  if (!Array.isArray(targets) || !targets.every((target) => typeof target === 'string'))
    return unsupported('target_modules', 'a list of module names')
  return {
    r: number('r', 1),
    loraAlpha: number('lora_alpha', 0),
    loraDropout: typeof json.lora_dropout === 'number' ? json.lora_dropout : 0,
    targetModules: targets,
    useRslora: json.use_rslora === true,
    ...(json.use_dora === true && { useDora: true }),
    ...(rankPattern && { rankPattern }),
    ...(alphaPattern && { alphaPattern }),
  }
}
