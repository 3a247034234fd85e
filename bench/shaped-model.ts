import { openBaseModel } from '../src/base/open-base-model.ts'
import { modelTensors } from '../src/base/model-tensors.ts'
import { bfloat16ToFloat32, float32ToBfloat16 } from '../src/formats/numbers.ts'
import type { ModelConfig } from '../src/model/config.ts'
import { parseModelConfig } from '../src/model/parse-config.ts'
import type { WeightInfo, WeightSource } from '../src/model/weights.ts'
import { RandomStream } from '../src/train/random.ts'

/** [hidden, layers, heads, key heads, intermediate, vocabulary, tied], from the models' config.json on the hub. */
const QWEN: Record<string, [number, number, number, number, number, number, boolean]> = {
  'qwen2.5-0.5b': [896, 24, 14, 2, 4864, 151936, true],
  'qwen2.5-1.5b': [1536, 28, 12, 2, 8960, 151936, true],
  'qwen2.5-3b': [2048, 36, 16, 2, 11008, 151936, true],
  'qwen2.5-7b': [3584, 28, 28, 4, 18944, 152064, false],
}

export interface BenchModel {
  config: ModelConfig
  weights: WeightSource
  close(): void
}

/** A model's folder or .gguf file, or the name of shapes whose weights are drawn at random as bfloat16. */
export function openBenchModel(model: string): BenchModel {
  const shape = QWEN[model]
  if (!shape) return openBaseModel(model)
  const [hidden, layers, heads, keyHeads, intermediate, vocabulary, tied] = shape
  const config = parseModelConfig(
    {
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      hidden_size: hidden,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_key_value_heads: keyHeads,
      intermediate_size: intermediate,
      vocab_size: vocabulary,
      tie_word_embeddings: tied,
      max_position_embeddings: 32768,
      rms_norm_eps: 1e-6,
      rope_theta: 1e6,
      hidden_act: 'silu',
    },
    model,
  )
  return { config, weights: randomWeights(config), close: () => {} }
}

/** transformers' initializer_range; a larger spread would let 28 layers of noise grow without bound. */
const SPREAD = 0.02
const POOL = 1 << 22

/**
 * Weights of a model that is nowhere: each tensor is read out of one pool of random numbers, from a place of its own, again
 * and again. What is read costs what reading a file from the cache costs, a copy.
 */
function randomWeights(config: ModelConfig): WeightSource {
  const random = new RandomStream(3, 'lora-init')
  const bits = float32ToBfloat16(
    Float32Array.from({ length: POOL }, () => (2 * random.uniform() - 1) * SPREAD),
  )
  const pool = bfloat16ToFloat32(bits)
  const infos = new Map<string, WeightInfo>()
  const places = new Map<string, number>()
  for (const { name, shape } of modelTensors(config)) {
    infos.set(name, { name, type: 'BF16', shape })
    places.set(name, random.below(POOL))
  }
  const fill = <T extends Float32Array | Uint16Array>(out: T, name: string, from: number, source: T): T => {
    let at = ((places.get(name) as number) + from) % POOL
    for (let done = 0; done < out.length; at = 0) {
      const part = source.subarray(at, at + out.length - done)
      out.set(part, done)
      done += part.length
    }
    return out
  }
  const sizeOf = (name: string): number => infos.get(name)?.shape.reduce((a, b) => a * b, 1) ?? 0
  const rows = (name: string, from: number, to: number): Float32Array => {
    const width = sizeOf(name) / (infos.get(name)?.shape[0] ?? 1)
    const out = new Float32Array((to - from) * width)
    return name.includes('norm') ? out.fill(1) : fill(out, name, from * width, pool)
  }
  return {
    infos,
    rows,
    float32: (name) => rows(name, 0, infos.get(name)?.shape[0] ?? 0),
    bytes: (name) => new Uint8Array(fill(new Uint16Array(sizeOf(name)), name, 0, bits).buffer),
    fileOf: () => 'memory',
    close: () => {},
  }
}
