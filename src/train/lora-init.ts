import type { Adapter, LoraConfig } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import { adapterName, projectionInfo, resolveTargetModules } from '../model/projections.ts'
import { RandomStream } from './random.ts'

/**
 * A fresh adapter as PEFT makes it: A from kaiming_uniform(a=√5), which is uniform in ±1/√in, and B zero, so that the
 * tuned model starts as the base model. Each tensor's numbers depend only on the seed and its place.
 */
export function initialAdapter(config: ModelConfig, lora: LoraConfig, seed: number): Adapter {
  const projections = resolveTargetModules(lora.targetModules)
  const tensors: Adapter['tensors'] = new Map()
  for (let layer = 0; layer < config.layers; layer++)
    for (const [i, projection] of projections.entries()) {
      const info = projectionInfo(config, projection)
      const random = new RandomStream(seed, 'lora-init', layer, i)
      const bound = 1 / Math.sqrt(info.in)
      const a = Float32Array.from({ length: lora.r * info.in }, () => (2 * random.uniform() - 1) * bound)
      tensors.set(adapterName(config, layer, projection, 'lora_A'), { shape: [lora.r, info.in], data: a })
      tensors.set(adapterName(config, layer, projection, 'lora_B'), {
        shape: [info.out, lora.r],
        data: new Float32Array(info.out * lora.r),
      })
    }
  return { config: lora, tensors }
}
