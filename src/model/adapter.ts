import type { Trained } from './trained.ts'

/** PEFT's LoraConfig, camelCase; only what changes the arithmetic or is written into adapter_config.json. */
export interface LoraConfig {
  r: number
  loraAlpha: number
  loraDropout: number
  /** Module names as PEFT matches them: the last part of the module's path (q_proj, …, down_proj). */
  targetModules: string[]
  useRslora: boolean
  /** Another rank, or another alpha, of the modules whose path ends so (PEFT rank_pattern, alpha_pattern); the first that fits counts. */
  rankPattern?: Record<string, number>
  alphaPattern?: Record<string, number>
  /** DoRA: beside A and B a magnitude for each output. */
  useDora?: boolean
}

/** A LoRA adapter in memory: PEFT's tensor names (base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight) to float32. */
export interface Adapter extends Trained {
  config: LoraConfig
  /**
   * lora_A [r, in], lora_B [out, r] and with DoRA lora_magnitude_vector, [out] in PEFT's files and [1, out] here, as it is applied.
   * In the order of the model's modules: layer by layer, A before B before the magnitudes.
   */
  tensors: Map<string, { shape: [number, number]; data: Float32Array }>
}

/** The rank of a module (`model.layers.0.self_attn.q_proj`). */
export function loraRank({ r, rankPattern = {} }: LoraConfig, module: string): number {
  return patternValue(rankPattern, module) ?? r
}

/** The factor on a module's B·A: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2312.03732). */
export function loraScale(config: LoraConfig, module: string, rank: number): number {
  const alpha = patternValue(config.alphaPattern ?? {}, module) ?? config.loraAlpha
  return config.useRslora ? alpha / Math.sqrt(rank) : alpha / rank
}

/** PEFT matches `(.*\.)?(key)$`: a key is the end of a path, from a dot on. */
export function isPatternOf(key: string, module: string): boolean {
  return module === key || module.endsWith(`.${key}`)
}

function patternValue(pattern: Record<string, number>, module: string): number | undefined {
  return Object.entries(pattern).find(([key]) => isPatternOf(key, module))?.[1]
}
