import type { Adapter } from '../model/adapter.ts'
import { initialAdapter } from './lora-init.ts'
import { RandomStream } from './random.ts'

/** As large as B becomes in a short training. */
const LARGEST_B = 0.02

/** A fresh adapter whose B is not zero, so that gradients of A say something too. Arguments as initialAdapter's. */
export function adapterWithB(...[config, lora, seed, weights]: Parameters<typeof initialAdapter>): Adapter {
  const adapter = initialAdapter(config, lora, seed, weights)
  const random = new RandomStream(seed, 'lora-init')
  for (const [name, { data }] of adapter.tensors)
    if (name.includes('lora_B')) data.forEach((_, i) => (data[i] = (2 * random.uniform() - 1) * LARGEST_B))
  return adapter
}
