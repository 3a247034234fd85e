import { InputError } from '../errors.ts'
import { type Adapter, isPatternOf, type LoraConfig, loraRank } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import type { WeightSource } from '../model/weights.ts'
import { rowLengths } from '../model/row-lengths.ts'
import { adapterName, projectionInfo, projectionPath, resolveTargetModules } from '../model/projections.ts'
import { RandomStream } from './random.ts'

/**
 * A fresh adapter as PEFT makes it: A from kaiming_uniform(a=√5), which is uniform in ±1/√in, and B zero, so that the
 * tuned model starts as the base model. Each tensor's numbers depend only on the seed and its place. DoRA's magnitudes are the lengths of
 * the rows of `weights`, which it needs. InputError where a pattern names no adapted module.
 */
export function initialAdapter(
  config: ModelConfig,
  lora: LoraConfig,
  seed: number,
  weights?: Pick<WeightSource, 'float32'>,
): Adapter {
  const projections = resolveTargetModules(lora.targetModules)
  const tensors: Adapter['tensors'] = new Map()
  const paths = Array.from({ length: config.layers }, (_, layer) =>
    projections.map((projection) => projectionPath(config, layer, projection)),
  ).flat()
  for (const field of ['rankPattern', 'alphaPattern'] as const)
    for (const key of Object.keys(lora[field] ?? {}))
      if (!paths.some((path) => isPatternOf(key, path)))
        throw new InputError(
          `${field}: no adapted layer's path ends in ${key}; write the end of a path such as ${paths.at(-1)}`,
        )
  for (let layer = 0; layer < config.layers; layer++)
    for (const [i, projection] of projections.entries()) {
      const info = projectionInfo(config, projection)
      const random = new RandomStream(seed, 'lora-init', layer, i)
      const bound = 1 / Math.sqrt(info.in)
      const rank = loraRank(lora, projectionPath(config, layer, projection))
      const a = new Float32Array(rank * info.in)
      for (let at = 0; at < a.length; at++) a[at] = (2 * random.uniform() - 1) * bound
      tensors.set(adapterName(config, layer, projection, 'lora_A'), { shape: [rank, info.in], data: a })
      tensors.set(adapterName(config, layer, projection, 'lora_B'), {
        shape: [info.out, rank],
        data: new Float32Array(info.out * rank),
      })
      if (!lora.useDora) continue
      if (!weights) throw new Error('DoRA begins with the lengths of the rows of the base model')
      const weight = weights.float32(`${projectionPath(config, layer, projection)}.weight`)
      const data = rowLengths(weight, info.in)
      tensors.set(adapterName(config, layer, projection, 'lora_magnitude_vector'), {
        shape: [1, info.out],
        data,
      })
    }
  return { config: lora, tensors }
}
