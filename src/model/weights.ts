/** Element types that a weight file can hold. The quantised ones are GGUF's blocks. */
export type WeightType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'I8'
  | 'U8'
  | 'I32'
  | 'I64'
  | 'Q8_0'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'

export interface WeightInfo {
  name: string
  type: WeightType
  /** Outermost first, as in PyTorch: a linear layer is [out, in]. */
  shape: number[]
}

/** Named tensors of a base model under Hugging Face's names, whatever the file's own format. */
export interface WeightSource {
  readonly infos: ReadonlyMap<string, WeightInfo>
  /** Decoded to float32, row-major, a fresh buffer each time. InputError that names tensor and file where it is missing. */
  float32(name: string): Float32Array
  /** The same of the first dimension's entries from `from` up to `to`: a matrix piece by piece. */
  rows(name: string, from: number, to: number): Float32Array
  /** The stored bytes, undecoded (little-endian), a fresh buffer each time. */
  bytes(name: string): Uint8Array
  /** The file that a tensor is in, or would be, for errors. */
  fileOf(name: string): string
  close(): void
}
