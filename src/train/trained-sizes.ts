import { modelTensors } from '../base/model-tensors.ts'
import { loraRank, type LoraConfig } from '../model/adapter.ts'
import type { ModelConfig } from '../model/config.ts'
import type { LoraSetting } from '../model/layer.ts'
import { PROJECTIONS, projectionInfo, projectionPath, type Projection } from '../model/projections.ts'

/** Elements of each tensor that is trained, without making any. */
export function trainedSizes(config: ModelConfig, lora: LoraConfig | 'all-weights'): number[] {
  if (lora === 'all-weights')
    return modelTensors(config).map(({ shape }) => shape.reduce((size, dim) => size * dim, 1))
  const sizes: number[] = []
  for (let layer = 0; layer < config.layers; layer++)
    for (const [projection, { rank, isDora }] of layerLora(config, lora, layer)) {
      const info = projectionInfo(config, projection)
      sizes.push(rank * info.in, rank * info.out, ...(isDora ? [info.out] : []))
    }
  return sizes
}

/** What a fresh adapter has in a layer, the scale aside. */
export function layerLora(
  config: ModelConfig,
  lora: LoraConfig,
  layer: number,
): Map<Projection, LoraSetting> {
  const adapted = PROJECTIONS.filter((projection) => lora.targetModules.includes(projection))
  return new Map(
    adapted.map((projection) => [
      projection,
      {
        rank: loraRank(lora, projectionPath(config, layer, projection)),
        scale: 1,
        dropout: lora.loraDropout,
        isDora: lora.useDora === true,
      },
    ]),
  )
}
