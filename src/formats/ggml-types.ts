/**
 * The tensor types of ggml that this project decodes: id in the file, elements and bytes of one block
 * (ggml/include/ggml.h, ggml/src/ggml-common.h). A row of a tensor is a whole number of blocks.
 */
export const GGML_TYPES = {
  F32: { id: 0, blockElements: 1, blockBytes: 4 },
  F16: { id: 1, blockElements: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockElements: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockElements: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockElements: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockElements: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockElements: 32, blockBytes: 34 },
  Q4_K: { id: 12, blockElements: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockElements: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockElements: 256, blockBytes: 210 },
  BF16: { id: 30, blockElements: 1, blockBytes: 2 },
} as const

export type GgmlType = keyof typeof GGML_TYPES

/** Bytes of `elements` numbers; `elements` is a multiple of the type's block. */
export function ggmlBytes(type: GgmlType, elements: number): number {
  const { blockElements, blockBytes } = GGML_TYPES[type]
  return (elements / blockElements) * blockBytes
}
