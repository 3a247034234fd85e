/** What a decoder's graphs need to know of it, parsed and checked from config.json. Shapes are in elements. */
export interface ModelConfig {
  family: 'llama' | 'qwen2'
  hiddenSize: number
  intermediateSize: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  vocabularySize: number
  rmsNormEpsilon: number
  ropeTheta: number
  maxPositions: number
  /** The output head shares the embedding's matrix. */
  tiedEmbeddings: boolean
  /** Biases on q/k/v (Qwen2) and on o where a Llama config says attention_bias. */
  attentionBias: { qkv: boolean; output: boolean }
  bosTokenId?: number
  /** All tokens that end a generation. */
  eosTokenIds: number[]
  /** config.json as it was read, for the exports. */
  json: Record<string, unknown>
}
