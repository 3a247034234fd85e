/** PEFT's LoraConfig, camelCase; only what changes the arithmetic or is written into adapter_config.json. */
export interface LoraConfig {
  r: number
  loraAlpha: number
  loraDropout: number
  /** Module names as PEFT matches them: the last part of the module's path (q_proj, …, down_proj). */
  targetModules: string[]
  useRslora: boolean
}

/** A LoRA adapter in memory: PEFT's tensor names (base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight) to float32. */
export interface Adapter {
  config: LoraConfig
  /** lora_A [r, in], lora_B [out, r]. In the order of the model's modules: layer by layer, A before B. */
  tensors: Map<string, { shape: [number, number]; data: Float32Array }>
}

/** The factor on B·A: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2312.03732). */
export function loraScale(config: Pick<LoraConfig, 'r' | 'loraAlpha' | 'useRslora'>): number {
  return config.useRslora ? config.loraAlpha / Math.sqrt(config.r) : config.loraAlpha / config.r
}
