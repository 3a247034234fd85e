import { InputError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import type { WeightSource } from '../model/weights.ts'

/** One tensor that a model of this config has. */
export interface ModelTensor {
  /** Hugging Face's name. */
  name: string
  /** GGUF's name for it (gguf-py: tensor_mapping.py). */
  ggufName: string
  shape: number[]
  /** Rows that the rotary embedding pairs: how many heads they are. */
  rotaryHeads?: number
}

/** Every tensor of a Llama, Qwen2 or Qwen3 model in the order of its layers: embedding, layers, final norm, and the head unless tied. */
export function modelTensors(config: ModelConfig): ModelTensor[] {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabularySize } = config
  const tensors: ModelTensor[] = [
    { name: 'model.embed_tokens.weight', ggufName: 'token_embd.weight', shape: [vocabularySize, hiddenSize] },
  ]
  for (let layer = 0; layer < config.layers; layer++) {
    const linear = (
      name: string,
      gguf: string,
      out: number,
      size: number,
      bias: boolean,
      rotaryHeads?: number,
    ) => {
      const rotary = rotaryHeads === undefined ? {} : { rotaryHeads }
      const at = { name: `model.layers.${layer}.${name}`, ggufName: `blk.${layer}.${gguf}` }
      tensors.push({
        name: `${at.name}.weight`,
        ggufName: `${at.ggufName}.weight`,
        shape: [out, size],
        ...rotary,
      })
      if (bias)
        tensors.push({ name: `${at.name}.bias`, ggufName: `${at.ggufName}.bias`, shape: [out], ...rotary })
    }
    const norm = (name: string, gguf: string, size = hiddenSize) =>
      tensors.push({
        name: `model.layers.${layer}.${name}.weight`,
        ggufName: `blk.${layer}.${gguf}.weight`,
        shape: [size],
      })
    const { qkv, output } = config.attentionBias
    norm('input_layernorm', 'attn_norm')
    linear('self_attn.q_proj', 'attn_q', heads * headDim, hiddenSize, qkv, heads)
    linear('self_attn.k_proj', 'attn_k', kvHeads * headDim, hiddenSize, qkv, kvHeads)
    linear('self_attn.v_proj', 'attn_v', kvHeads * headDim, hiddenSize, qkv)
    linear('self_attn.o_proj', 'attn_output', hiddenSize, heads * headDim, output)
    if (config.queryKeyNorm) {
      norm('self_attn.q_norm', 'attn_q_norm', headDim)
      norm('self_attn.k_norm', 'attn_k_norm', headDim)
    }
    norm('post_attention_layernorm', 'ffn_norm')
    linear('mlp.gate_proj', 'ffn_gate', intermediateSize, hiddenSize, false)
    linear('mlp.up_proj', 'ffn_up', intermediateSize, hiddenSize, false)
    linear('mlp.down_proj', 'ffn_down', hiddenSize, intermediateSize, false)
  }
  tensors.push({ name: 'model.norm.weight', ggufName: 'output_norm.weight', shape: [hiddenSize] })
  if (!config.tiedEmbeddings)
    tensors.push({ name: 'lm_head.weight', ggufName: 'output.weight', shape: [vocabularySize, hiddenSize] })
  return tensors
}

/** InputError names the first tensor that the files lack or have in another shape than config.json says. */
export function checkModelTensors(config: ModelConfig, weights: WeightSource): void {
  for (const { name, shape } of modelTensors(config)) {
    const info = weights.infos.get(name)
    if (!info)
      throw new InputError(
        `${weights.fileOf(name)}: lacks the tensor ${name} [${shape.join(', ')}] that its config calls for; get the whole model again`,
      )
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i]))
      throw new InputError(
        `${weights.fileOf(name)}: the tensor ${name} has shape [${info.shape.join(', ')}] but its config calls for [${shape.join(', ')}]; get config and weights of one model`,
      )
  }
}
