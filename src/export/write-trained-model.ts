import type { BaseModel } from '../base/base-model.ts'
import { InputError } from '../errors.ts'
import type { Trained } from '../model/trained.ts'
import { writeModel } from './write-model.ts'

/** As transformers cuts a model. */
const MAX_SHARD_SIZE = 5_000_000_000

/**
 * Writes a model all of whose weights were trained as a folder that transformers loads, in float32 as they were trained. Errors as
 * writeModel's, and InputError where no weight differs from the base's; `untrained`: no step was asked for.
 */
export async function writeTrainedModel(
  dir: string,
  base: BaseModel,
  { tensors }: Trained,
  untrained = false,
): Promise<void> {
  const float32 = (name: string): Float32Array => {
    const tensor = tensors.get(name)
    if (!tensor) throw new Error(`${name} was not trained`)
    return tensor.data
  }
  await writeModel(dir, base, { float32 }, { dtype: 'F32', maxShardSize: MAX_SHARD_SIZE })
  const isChanged = (name: string): boolean => {
    const before = base.weights.float32(name)
    return float32(name).some((value, i) => value !== before[i])
  }
  if (!untrained && !Array.from(tensors.keys()).some(isChanged))
    throw new InputError(
      'training has changed no weight; train for at least one step with a learning rate above 0',
    )
}
