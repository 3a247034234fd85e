/** The value types of GGUF metadata and their ids in the file (ggml/docs/gguf.md). */
export const GGUF_VALUE_IDS = {
  UINT8: 0,
  INT8: 1,
  UINT16: 2,
  INT16: 3,
  UINT32: 4,
  INT32: 5,
  FLOAT32: 6,
  BOOL: 7,
  STRING: 8,
  ARRAY: 9,
  UINT64: 10,
  INT64: 11,
  FLOAT64: 12,
} as const

type NumberType = 'UINT8' | 'INT8' | 'UINT16' | 'INT16' | 'UINT32' | 'INT32' | 'FLOAT32' | 'FLOAT64'
type BigintType = 'UINT64' | 'INT64'
export type GgufScalarType = NumberType | BigintType | 'BOOL' | 'STRING'
export type GgufScalar = number | bigint | boolean | string

/** One metadata value with its type, so that a file that is read and written again keeps it. Arrays of arrays do not exist. */
export type GgufValue =
  | { type: NumberType; value: number }
  | { type: BigintType; value: bigint }
  | { type: 'BOOL'; value: boolean }
  | { type: 'STRING'; value: string }
  | { type: 'ARRAY'; of: GgufScalarType; value: GgufScalar[] }

export type GgufMetadata = Map<string, GgufValue>

/** `general.alignment` where a file does not name one. */
export const GGUF_DEFAULT_ALIGNMENT = 32
