import type { Adapter } from '../../src/model/adapter.ts'
import { compareAdapterNames } from '../../src/export/adapter-modules.ts'
import { readJsonFile } from '../../src/formats/json-file.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { goldenFile, type GoldenModel } from '../base/model-folders.ts'

/** A golden adapter: after ten steps, as PyTorch and PEFT left it, or another of the directory. */
export function goldenAdapter(model: GoldenModel, name = 'adapter_after_10_steps.safetensors'): Adapter {
  const json = readJsonFile(goldenFile(model, 'adapter_config.json'))
  const file = readSafetensors(goldenFile(model, name))
  const tensors: Adapter['tensors'] = new Map()
  for (const name of [...file.infos.keys()].sort(compareAdapterNames)) {
    const [rows = 0, columns = 0] = file.infos.get(name)?.shape ?? []
    tensors.set(name, { shape: [rows, columns], data: file.float32(name) })
  }
  file.close()
  const config = {
    r: json.r as number,
    loraAlpha: json.lora_alpha as number,
    loraDropout: 0,
    targetModules: json.target_modules as string[],
    useRslora: false,
  }
  return { config, tensors }
}

/** The same adapter with one number of one tensor changed. */
export function withValue(adapter: Adapter, half: 'lora_A' | 'lora_B', value: number): Adapter {
  const tensors = new Map(
    [...adapter.tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  )
  const [first] = [...tensors].filter(([name]) => name.includes(half))
  first?.[1].data.set([value], 3)
  return { ...adapter, tensors }
}
