/** Text to token ids and back, with what a chat needs. Built from a tokenizer.json (Hugging Face) or a GGUF's vocabulary. */
export interface Tokenizer {
  /** Token ids of `text`. Special tokens written in the text become their ids; nothing is added in front or behind. */
  encode(text: string): number[]
  /**
   * The ids with, for each token, the half-open range [start, end) of UTF-16 units of `text` that it covers.
   * Tokens that share a character (byte-level pieces) all cover it.
   */
  encodeWithOffsets(text: string): { ids: number[]; offsets: [number, number][] }
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string
  idOf(token: string): number | undefined
  readonly vocabularySize: number
  /** The beginning-of-sequence token that the model expects once in front of a text, if its tokenizer adds one. */
  readonly bos?: { token: string; id: number }
  /** The end-of-sequence (end-of-turn) token of tokenizer_config.json. */
  readonly eos: { token: string; id: number }
  readonly pad?: { token: string; id: number }
  /** True where the tokenizer itself puts BOS in front (add_bos_token or a post-processor). */
  readonly addsBos: boolean
  /** The model's own chat template (Jinja), if it has one. */
  readonly chatTemplate?: string
  /** tokenizer.json and tokenizer_config.json as objects, to be written beside an exported model. */
  readonly files: { tokenizer: Record<string, unknown>; tokenizerConfig: Record<string, unknown> }
}
