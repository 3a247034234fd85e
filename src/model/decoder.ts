/** A model that reads tokens once and remembers them: keys and values of all layers are kept between calls. */
export interface Decoder {
  /** Appends tokens to the one sequence that is remembered; returns the logits after the last of them, [vocabulary]. */
  append(tokens: readonly number[]): Promise<Float32Array>
  /** Forgets all tokens. */
  reset(): void
  dispose(): Promise<void>
}
