/** transformers' rope_type llama3: long wavelengths are divided by `factor`, short ones kept, those between blended. */
export interface Llama3RopeScaling {
  factor: number
  /** Wavelengths above originalMaxPositions / lowFrequencyFactor are long … */
  lowFrequencyFactor: number
  /** … and those below originalMaxPositions / highFrequencyFactor short. */
  highFrequencyFactor: number
  originalMaxPositions: number
}

/** What a decoder's graphs need to know of it, parsed and checked from config.json. Shapes are in elements. */
export interface ModelConfig {
  family: 'llama' | 'qwen2' | 'qwen3'
  hiddenSize: number
  intermediateSize: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  vocabularySize: number
  rmsNormEpsilon: number
  ropeTheta: number
  /** Llama 3.1's stretching of the rotary embedding. */
  ropeScaling?: Llama3RopeScaling
  maxPositions: number
  /** The output head shares the embedding's matrix. */
  tiedEmbeddings: boolean
  /** Qwen3 normalises each head of q and k (RMSNorm over headDim) before the rotary embedding. */
  queryKeyNorm: boolean
  /** Biases on q/k/v (Qwen2) and on all four where a Llama or Qwen3 config says attention_bias. */
  attentionBias: { qkv: boolean; output: boolean }
  bosTokenId?: number
  /** Its row of the embedding is never learnt from what stands in the text. */
  padTokenId?: number
  /** All tokens that end a generation. */
  eosTokenIds: number[]
  /** config.json as it was read, for the exports. */
  json: Record<string, unknown>
}
