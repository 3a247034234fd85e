import { InputError, NonFiniteError } from '../errors.ts'
import type { Adapter } from '../model/adapter.ts'
import { allFinite } from './all-finite.ts'
import { adapterModules } from './adapter-modules.ts'

/**
 * Refuses an adapter that must not be published: one with a NaN or an infinity (NonFiniteError) and one that changes nothing,
 * every lora_B being zero as before the first step (InputError). Other trainers record both as a success. `untrained`: no step was
 * asked for, so nothing is expected to change.
 */
export function checkAdapter(adapter: Adapter, untrained = false): void {
  for (const [name, { data }] of adapter.tensors)
    if (!allFinite(data))
      throw new NonFiniteError(`the adapter's tensor ${name} is not finite: nothing is written`)
  const changes = [...adapterModules(adapter).values()].some(({ a, b }) => !isZero(a.data) && !isZero(b.data))
  if (!changes && !untrained)
    throw new InputError(
      'the adapter changes nothing: for every module lora_A or lora_B is all zero; train for at least one step with a learning rate above 0',
    )
}

function isZero(values: Float32Array): boolean {
  return values.every((value) => value === 0)
}
