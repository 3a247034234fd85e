import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseModel } from '../base/base-model.ts'
import { modelTensors } from '../base/model-tensors.ts'
import { InputError, NonFiniteError } from '../errors.ts'
import { float32ToBfloat16, float32ToHalf } from '../formats/numbers.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import { ELEMENT_BYTES } from '../formats/safetensors-header.ts'
import { writeSafetensors, type TensorData, type TensorToWrite } from '../formats/safetensors.ts'
import type { WeightSource } from '../model/weights.ts'
import { allFinite } from './all-finite.ts'
import type { Dialogue } from './dialogue.ts'

export type ModelType = 'F32' | 'F16' | 'BF16'

const TORCH_NAMES: Record<ModelType, string> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

export interface WriteModelOptions {
  dtype: ModelType
  /** Bytes of a weight file above which the model is written in shards. */
  maxShardSize: number
  dialogue?: Dialogue
}

/**
 * Writes `weights` with all else that the base has as a Hugging Face model folder that transformers loads: config.json,
 * generation_config.json, the tokenizer's files and model.safetensors, or shards with their index. One tensor is in memory at a time.
 * InputError: a value does not fit F16, the disk is full. NonFiniteError: NaN.
 */
export async function writeModel(
  dir: string,
  base: Omit<BaseModel, 'weights' | 'close'>,
  weights: Pick<WeightSource, 'float32'>,
  { dtype: type, maxShardSize, dialogue = {} }: WriteModelOptions,
): Promise<void> {
  await mkdir(dir, { recursive: true })
  const tensors = modelTensors(base.config).map(({ name, shape }) => ({
    name,
    type,
    shape,
    data: () => encode(weights.float32(name), type, name),
  }))
  await writeShards(dir, tensors, maxShardSize)

  const { json } = base.config
  // transformers 5 says dtype where 4 said torch_dtype; both read either.
  const config = { ...json, [json.dtype === undefined ? 'torch_dtype' : 'dtype']: TORCH_NAMES[type] }
  await writeJson(join(dir, 'config.json'), config)
  const eosIds = [
    ...new Set([...(dialogue.endOfTurn ? [dialogue.endOfTurn.id] : []), ...base.config.eosTokenIds]),
  ]
  const eos = eosIds.length === 0 ? {} : { eos_token_id: eosIds.length === 1 ? eosIds[0] : eosIds }
  await writeJson(join(dir, 'generation_config.json'), { ...base.generationConfig, ...eos })
  if (base.tokenizer) {
    const { tokenizer, tokenizerConfig } = base.tokenizer.files
    const template = dialogue.chatTemplate === undefined ? {} : { chat_template: dialogue.chatTemplate }
    await writeJson(join(dir, 'tokenizer.json'), tokenizer)
    await writeJson(join(dir, 'tokenizer_config.json'), { ...tokenizerConfig, ...template })
  }
}

/** In which the layers of a model are stored; F32 for a quantised one. */
export function ownType(weights: Pick<WeightSource, 'infos'>): ModelType {
  const type = weights.infos.get('model.layers.0.self_attn.q_proj.weight')?.type
  return type === 'F16' || type === 'BF16' ? type : 'F32'
}

function encode(values: Float32Array, type: ModelType, name: string): TensorData {
  if (!allFinite(values)) throw new NonFiniteError(`the tensor ${name} is not finite: nothing is written`)
  switch (type) {
    case 'F32':
      return values
    case 'BF16':
      return float32ToBfloat16(values)
    case 'F16': {
      const halves = float32ToHalf(values)
      if (halves.some((bits) => (bits & 0x7fff) === 0x7c00))
        throw new InputError(
          `spec.merge.dtype: the tensor ${name} has values beyond F16's largest, 65504; choose BF16 or F32`,
        )
      return halves
    }
  }
}

/** Fills shards in the model's order, each up to the limit, as transformers' save_pretrained does. */
async function writeShards(
  dir: string,
  tensors: (TensorToWrite & { type: ModelType })[],
  limit: number,
): Promise<void> {
  const bytesOf = ({ type, shape }: TensorToWrite) =>
    shape.reduce((product, n) => product * n, ELEMENT_BYTES[type])
  const shards: TensorToWrite[][] = [[]]
  let filled = 0
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor)
    if (filled > 0 && filled + bytes > limit) {
      shards.push([])
      filled = 0
    }
    shards.at(-1)?.push(tensor)
    filled += bytes
  }
  const metadata = { format: 'pt' } // transformers refuses a file that does not say so
  const [only] = shards
  if (shards.length === 1 && only) return writeSafetensors(join(dir, 'model.safetensors'), only, metadata)

  const number = (n: number) => String(n).padStart(5, '0')
  const weightMap: [string, string][] = []
  for (const [i, shard] of shards.entries()) {
    const name = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`
    await writeSafetensors(join(dir, name), shard, metadata)
    for (const tensor of shard) weightMap.push([tensor.name, name])
  }
  const totalSize = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0)
  await writeJson(join(dir, 'model.safetensors.index.json'), {
    metadata: { total_size: totalSize },
    weight_map: Object.fromEntries(weightMap),
  })
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeOutputFile(path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)])
}
