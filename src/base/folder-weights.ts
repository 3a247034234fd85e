import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { InputError } from '../errors.ts'
import { isJsonObject, readJsonFile } from '../formats/json-file.ts'
import { readSafetensors, type SafetensorsFile } from '../formats/safetensors.ts'
import type { WeightInfo, WeightSource } from '../model/weights.ts'

const WHOLE = 'model.safetensors'
const SHARD_INDEX = 'model.safetensors.index.json'

/** Formats that run code when they are loaded (CVE-2025-32434 and its kind). */
export const PICKLE = /\.(bin|pt|pth|ckpt|pkl)$/

/**
 * The weights of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json lists. Only headers
 * are read. InputError names what is missing, damaged or a pickle.
 */
export function openFolderWeights(folder: string): WeightSource {
  const files = new Map<string, SafetensorsFile>()
  const close = () => {
    for (const file of files.values()) file.close()
  }
  try {
    const owner = new Map<string, SafetensorsFile>()
    const open = (name: string): SafetensorsFile => {
      const file = files.get(name) ?? readSafetensors(join(folder, name))
      files.set(name, file)
      return file
    }
    const index = indexOf(folder)
    if (index) {
      for (const [tensor, name] of index) {
        const file = open(name)
        if (!file.infos.has(tensor))
          throw new InputError(
            `${file.path}: lacks the tensor ${JSON.stringify(tensor)} that the index places there; get the model again`,
          )
        owner.set(tensor, file)
      }
    } else {
      const file = open(WHOLE)
      for (const tensor of file.infos.keys()) owner.set(tensor, file)
    }

    const infos = new Map<string, WeightInfo>()
    for (const [name, file] of owner) {
      const info = file.infos.get(name)
      if (info) infos.set(name, { name, type: info.type, shape: info.shape })
    }
    const whole = join(folder, index ? SHARD_INDEX : WHOLE)
    const ownerOf = (name: string): SafetensorsFile => {
      const file = owner.get(name)
      if (!file)
        throw new InputError(`${folder}: holds no tensor ${JSON.stringify(name)}; get the whole model again`)
      return file
    }
    return {
      infos,
      float32: (name) => ownerOf(name).float32(name),
      rows: (name, from, to) => ownerOf(name).rows(name, from, to),
      bytes: (name) => ownerOf(name).bytes(name),
      fileOf: (name) => owner.get(name)?.path ?? whole,
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/** Tensor name → shard, or undefined where the model is one file. */
function indexOf(folder: string): [string, string][] | undefined {
  const path = join(folder, SHARD_INDEX)
  if (!existsSync(path)) {
    if (existsSync(join(folder, WHOLE))) return undefined
    const pickle = readdirSync(folder).find((name) => PICKLE.test(name))
    throw new InputError(
      pickle
        ? `${join(folder, pickle)}: is a pickle, which can run any code when it is loaded, and is refused; save the model again as safetensors`
        : `${folder}: has neither model.safetensors nor model.safetensors.index.json; name the folder of a whole model`,
    )
  }
  const map = readJsonFile(path).weight_map
  if (!isJsonObject(map)) throw new InputError(`${path}: has no weight_map; get the model again`)
  return Object.entries(map).map(([tensor, shard]) => {
    if (typeof shard !== 'string' || basename(shard) !== shard || !shard.endsWith('.safetensors'))
      throw new InputError(
        `${path}: places ${JSON.stringify(tensor)} in ${JSON.stringify(shard)}, which is no .safetensors file of this folder; get the model again`,
      )
    return [tensor, shard]
  })
}
