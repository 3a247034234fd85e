import { InputError } from '../errors.ts'
import { dequantize } from '../formats/dequantize.ts'
import type { GgufFile } from '../formats/gguf-reader.ts'
import { fromNeighbourPairs } from '../formats/rotary-rows.ts'
import type { ModelConfig } from '../model/config.ts'
import type { WeightInfo, WeightSource } from '../model/weights.ts'
import { ROPE_FREQUENCIES } from './gguf-config.ts'
import { modelTensors, type ModelTensor } from './model-tensors.ts'

/**
 * A GGUF's tensors under Hugging Face's names and with Hugging Face's order of q and k rows.
 * InputError names a tensor that no Llama, Qwen2 or Qwen3 has: leaving it out would be another model.
 */
export function ggufWeights(file: GgufFile, config: ModelConfig): WeightSource {
  const byName = new Map<string, ModelTensor>()
  const infos = new Map<string, WeightInfo>()
  const expected = new Map(modelTensors(config).map((tensor) => [tensor.ggufName, tensor]))
  for (const { name, type, shape } of file.infos.values()) {
    if (name === ROPE_FREQUENCIES) continue // Not a weight: ggufConfig has read it.
    const tensor = expected.get(name)
    if (!tensor)
      throw new InputError(
        `${file.path}: holds the tensor ${JSON.stringify(name)}, which is not supported; choose another base model`,
      )
    byName.set(tensor.name, tensor)
    infos.set(tensor.name, { name: tensor.name, type, shape })
  }
  const bytes = (name: string): Uint8Array<ArrayBuffer> => {
    const tensor = byName.get(name)
    if (!tensor)
      throw new InputError(
        `${file.path}: holds no tensor for ${JSON.stringify(name)}; get the whole file again`,
      )
    const stored = file.bytes(tensor.ggufName)
    return config.family === 'llama' && tensor.rotaryHeads !== undefined
      ? fromNeighbourPairs(stored, tensor.rotaryHeads, config.headDim)
      : stored
  }
  return {
    infos,
    bytes,
    float32(name) {
      const stored = bytes(name)
      const info = file.infos.get(byName.get(name)?.ggufName ?? '')
      if (!info) throw new Error(`${name} was read but is not listed`)
      return dequantize(info.type, stored)
    },
    close: () => file.close(),
  }
}
