import type { BaseModel } from '../base/base-model.ts'
import type { Adapter } from '../model/adapter.ts'
import { checkAdapter } from './check-adapter.ts'
import { mergedWeights } from './merged-weights.ts'
import { type ModelType, ownType, writeModel, type WriteModelOptions } from './write-model.ts'

export interface MergeOptions extends Omit<WriteModelOptions, 'dtype'> {
  /** `auto`: the base's own type, F32 for a quantised base. */
  dtype: 'auto' | ModelType
  /** No step was asked for: the adapter may change nothing. */
  untrained?: boolean
}

/** Writes base + adapter as a model folder. Says the type it wrote. Errors as writeModel's, and InputError: the adapter does not fit or changes nothing. */
export async function writeMergedModel(
  dir: string,
  base: BaseModel,
  adapter: Adapter,
  { dtype, untrained = false, ...options }: MergeOptions,
): Promise<{ dtype: ModelType }> {
  checkAdapter(adapter, untrained)
  const type = dtype === 'auto' ? ownType(base.weights) : dtype
  await writeModel(dir, base, mergedWeights(base.weights, adapter), { ...options, dtype: type })
  return { dtype: type }
}
