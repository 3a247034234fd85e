import { InputError } from '../errors.ts'
import type { ModelConfig } from './config.ts'

/** The linear layers of a decoder layer, in the order in which they run. */
export const PROJECTIONS = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const
export type Projection = (typeof PROJECTIONS)[number]

interface ProjectionInfo {
  /** Hugging Face's path within a layer. */
  path: string
  /** Inputs and outputs: the weight is [out, in]. */
  in: number
  out: number
  bias: boolean
}

export function projectionInfo(config: ModelConfig, projection: Projection): ProjectionInfo {
  const { hiddenSize, intermediateSize, attentionBias } = config
  const queries = config.heads * config.headDim
  const keys = config.kvHeads * config.headDim
  switch (projection) {
    case 'q_proj':
      return { path: 'self_attn.q_proj', in: hiddenSize, out: queries, bias: attentionBias.qkv }
    case 'k_proj':
    case 'v_proj':
      return { path: `self_attn.${projection}`, in: hiddenSize, out: keys, bias: attentionBias.qkv }
    case 'o_proj':
      return { path: 'self_attn.o_proj', in: queries, out: hiddenSize, bias: attentionBias.output }
    case 'gate_proj':
    case 'up_proj':
      return { path: `mlp.${projection}`, in: hiddenSize, out: intermediateSize, bias: false }
    case 'down_proj':
      return { path: 'mlp.down_proj', in: intermediateSize, out: hiddenSize, bias: false }
  }
}

/** `model.layers.N.self_attn.q_proj`, the path that weights and PEFT's adapters share. */
export function projectionPath(config: ModelConfig, layer: number, projection: Projection): string {
  return `model.layers.${layer}.${projectionInfo(config, projection).path}`
}

/** PEFT's name of an adapter's tensor. */
export function adapterName(
  config: ModelConfig,
  layer: number,
  projection: Projection,
  matrix: 'lora_A' | 'lora_B' | 'lora_magnitude_vector',
): string {
  const suffix = matrix === 'lora_magnitude_vector' ? '' : '.weight'
  return `base_model.model.${projectionPath(config, layer, projection)}.${matrix}${suffix}`
}

/** `all-linear`, as PEFT means it: all linear layers but the output head. InputError names what exists. */
export function resolveTargetModules(targets: 'all-linear' | readonly string[]): Projection[] {
  if (targets === 'all-linear') return [...PROJECTIONS]
  const unknown = targets.filter((target) => !PROJECTIONS.some((projection) => projection === target))
  if (unknown.length > 0 || targets.length === 0)
    throw new InputError(
      `targetModules: ${unknown.length > 0 ? `the model has no linear layer ${unknown.join(', ')}` : 'is empty'}; write all-linear or some of ${PROJECTIONS.join(', ')}`,
    )
  return PROJECTIONS.filter((projection) => targets.includes(projection))
}
