import { GGML_TYPES, ggmlBytes, type GgmlType } from './ggml-types.ts'
import {
  GGUF_DEFAULT_ALIGNMENT,
  GGUF_VALUE_IDS,
  type GgufMetadata,
  type GgufScalar,
  type GgufScalarType,
} from './gguf-values.ts'
import { writeOutputFile } from './output-file.ts'

export interface GgufTensorToWrite {
  name: string
  type: GgmlType
  /** Outermost first; the file has it reversed. */
  shape: readonly number[]
  /** The tensor's blocks; called when its turn comes, so that one tensor is in memory at a time. */
  data: () => Uint8Array
}

/**
 * Writes GGUF version 3, little-endian, alignment 32 (ggml/docs/gguf.md), keys and tensors in the order given: equal input,
 * equal bytes. Temporary name, fsync, rename. InputError where the disk is full.
 */
export async function writeGgufFile(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  const header: Uint8Array[] = [
    Buffer.from('GGUF'),
    uint32(3),
    uint64(BigInt(tensors.length)),
    uint64(BigInt(metadata.size)),
  ]
  for (const [key, entry] of metadata) {
    header.push(text(key), uint32(GGUF_VALUE_IDS[entry.type]))
    if (entry.type !== 'ARRAY') header.push(scalar(entry.type, entry.value))
    else {
      header.push(uint32(GGUF_VALUE_IDS[entry.of]), uint64(BigInt(entry.value.length)))
      for (const element of entry.value) header.push(scalar(entry.of, element))
    }
  }
  let offset = 0
  for (const { name, type, shape } of tensors) {
    header.push(text(name), uint32(shape.length), ...shape.toReversed().map((n) => uint64(BigInt(n))))
    header.push(uint32(GGML_TYPES[type].id), uint64(BigInt(offset)))
    offset += padded(tensorBytes(type, shape))
  }
  const bytes = Buffer.concat(header)
  await writeOutputFile(path, contents(bytes, tensors))
}

function* contents(header: Uint8Array, tensors: readonly GgufTensorToWrite[]): Generator<Uint8Array> {
  yield header
  yield new Uint8Array(padded(header.length) - header.length)
  for (const { name, type, shape, data } of tensors) {
    const values = data()
    if (values.length !== tensorBytes(type, shape))
      throw new Error(`${name} is ${type} of shape [${shape.join(', ')}] but has ${values.length} bytes`)
    yield values
    // The last tensor is padded too, as gguf-py does.
    yield new Uint8Array(padded(values.length) - values.length)
  }
}

function tensorBytes(type: GgmlType, shape: readonly number[]): number {
  const elements = shape.reduce((product, n) => product * n, 1)
  return ggmlBytes(type, elements)
}

function padded(bytes: number): number {
  return Math.ceil(bytes / GGUF_DEFAULT_ALIGNMENT) * GGUF_DEFAULT_ALIGNMENT
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}

function text(value: string): Uint8Array {
  const utf8 = Buffer.from(value)
  return Buffer.concat([uint64(BigInt(utf8.length)), utf8])
}

function scalar(type: GgufScalarType, value: GgufScalar): Uint8Array {
  const view = new DataView(new ArrayBuffer(8))
  const first = (length: number) => new Uint8Array(view.buffer, 0, length)
  switch (type) {
    case 'STRING':
      return text(value as string)
    case 'BOOL':
      return Uint8Array.of(value ? 1 : 0)
    case 'UINT8':
    case 'INT8':
      view.setInt8(0, value as number)
      return first(1)
    case 'UINT16':
    case 'INT16':
      view.setInt16(0, value as number, true)
      return first(2)
    case 'UINT32':
    case 'INT32':
      view.setInt32(0, value as number, true)
      return first(4)
    case 'FLOAT32':
      view.setFloat32(0, value as number, true)
      return first(4)
    case 'FLOAT64':
      view.setFloat64(0, value as number, true)
      return first(8)
    case 'UINT64':
    case 'INT64':
      view.setBigInt64(0, value as bigint, true)
      return first(8)
  }
}
