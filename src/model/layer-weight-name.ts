import type { ModelConfig } from './config.ts'
import { PROJECTIONS, projectionPath, type Projection } from './projections.ts'

/** The norms of a layer, by the names of buildLayer's inputs: Hugging Face's path within the layer. */
const NORMS: Readonly<Record<string, string | undefined>> = {
  input_norm: 'input_layernorm',
  post_norm: 'post_attention_layernorm',
  q_norm: 'self_attn.q_norm',
  k_norm: 'self_attn.k_norm',
}

/** Of an input of buildLayer (`input_norm`, `q_proj`, `q_proj.bias`): the model's own name of that weight. Undefined: it is none. */
export function layerWeightName(config: ModelConfig, layer: number, input: string): string | undefined {
  const norm = NORMS[input]
  if (norm !== undefined) return `model.layers.${layer}.${norm}.weight`
  const [name, part = 'weight'] = input.split('.')
  const projection: Projection | undefined = PROJECTIONS.find((known) => known === name)
  if (projection === undefined || (part !== 'weight' && part !== 'bias')) return undefined
  return `${projectionPath(config, layer, projection)}.${part}`
}
