import { InputError } from '../errors.ts'
import { dequantize } from '../formats/dequantize.ts'
import type { GgmlType } from '../formats/ggml-types.ts'
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
  const tensorOf = (name: string): ModelTensor => {
    const tensor = byName.get(name)
    if (!tensor)
      throw new InputError(
        `${file.path}: holds no tensor for ${JSON.stringify(name)}; get the whole file again`,
      )
    return tensor
  }
  const isPermuted = ({ rotaryHeads }: ModelTensor): boolean =>
    config.family === 'llama' && rotaryHeads !== undefined
  const bytes = (name: string): Uint8Array<ArrayBuffer> => {
    const tensor = tensorOf(name)
    const stored = file.bytes(tensor.ggufName)
    return isPermuted(tensor)
      ? fromNeighbourPairs(stored, tensor.rotaryHeads as number, config.headDim)
      : stored
  }
  const typeOf = (name: string): GgmlType => {
    const info = file.infos.get(tensorOf(name).ggufName)
    if (!info) throw new Error(`${name} was read but is not listed`)
    return info.type
  }
  return {
    infos,
    bytes,
    float32: (name) => dequantize(typeOf(name), bytes(name)),
    rows(name, from, to) {
      const tensor = tensorOf(name)
      const { headDim } = config
      if (!isPermuted(tensor)) return dequantize(typeOf(name), file.bytes(tensor.ggufName, from, to))
      // Rows change places within their head: whole heads are read.
      const [first, last] = [Math.floor(from / headDim), Math.ceil(to / headDim)]
      const stored = file.bytes(tensor.ggufName, first * headDim, last * headDim)
      const rowBytes = stored.length / ((last - first) * headDim)
      const ordered = fromNeighbourPairs(stored, last - first, headDim)
      const start = (from - first * headDim) * rowBytes
      return dequantize(typeOf(name), ordered.slice(start, start + (to - from) * rowBytes))
    },
    fileOf: () => file.path,
    close: () => file.close(),
  }
}
