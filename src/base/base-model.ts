import type { FileDigest } from './model-files.ts'
import type { ModelConfig } from '../model/config.ts'
import type { WeightSource } from '../model/weights.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** A base model, opened: its parsed config, its weights under Hugging Face's names, and its tokenizer. */
export interface BaseModel {
  config: ModelConfig
  weights: WeightSource
  /** Undefined for a folder without a tokenizer (the golden directories); training text then is an InputError. */
  tokenizer?: Tokenizer
  generationConfig?: Record<string, unknown>
  close(): void
}

/** Which base model exactly: enough to find the same bytes again. Recorded in every artifact made from it. */
export interface BaseModelIdentity {
  /** As the user wrote it: a folder, a .gguf file, or hf://owner/name[@revision]. */
  source: string
  /** The commit on the hub, where it came from there. */
  revision?: string
  /** SHA-256 over names, sizes and digests of its files: the same bytes, the same digest, wherever they lie. */
  digest: string
  /** The local folder or .gguf file. */
  path: string
  /** Of a model of a hub: its files. */
  files?: readonly FileDigest[]
}
