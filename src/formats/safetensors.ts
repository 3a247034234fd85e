import { endianness } from 'node:os'
import { InputError } from '../errors.ts'
import { openInputFile } from './input-file.ts'
import { bfloat16ToFloat32, halfToFloat32 } from './numbers.ts'
import { writeOutputFile } from './output-file.ts'
import {
  ELEMENT_BYTES,
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  type SafetensorsInfo,
  type SafetensorsType,
} from './safetensors-header.ts'

// The format is little-endian, and so are typed arrays on every platform that onnxruntime-node supports.
if (endianness() !== 'LE') throw new Error('Temper needs a little-endian machine')

/** F16 and BF16 as their bits. */
export type TensorData = Float32Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array | Int8Array

/** A safetensors file (github.com/huggingface/safetensors), its header read and checked, its tensors still on the disk. */
export interface SafetensorsFile {
  readonly path: string
  readonly metadata: Readonly<Record<string, string>>
  /** In the header's order. */
  readonly infos: ReadonlyMap<string, SafetensorsInfo>
  /** As stored: F32 Float32Array, F16/BF16 Uint16Array (bits), I64 BigInt64Array, … A fresh buffer. InputError where it is missing. */
  tensor(name: string): TensorData
  /** F32, F16 or BF16 decoded to float32, a fresh buffer. InputError where it is missing or of another type. */
  float32(name: string): Float32Array
  /** Of the first dimension's entries from `from` up to `to`, decoded to float32, a fresh buffer. */
  rows(name: string, from: number, to: number): Float32Array
  /** The stored bytes, little-endian, a fresh buffer. */
  bytes(name: string): Uint8Array<ArrayBuffer>
  close(): void
}

/** Reads and checks the header only. InputError names the file and the place where it is damaged or hostile. */
export function readSafetensors(path: string): SafetensorsFile {
  const file = openInputFile(path)
  try {
    if (file.size < 8)
      throw new InputError(`${path}: has ${file.size} bytes, too few for safetensors; get the file again`)
    const headerBytes = new DataView(file.read(0, 8).buffer).getBigUint64(0, true)
    if (headerBytes > MAX_HEADER_BYTES)
      throw new InputError(
        `${path}: the header claims ${headerBytes} bytes, more than the ${MAX_HEADER_BYTES} allowed; the file is damaged or not safetensors`,
      )
    const dataStart = 8 + Number(headerBytes)
    if (dataStart > file.size)
      throw new InputError(
        `${path}: the header claims ${headerBytes} bytes, beyond the end of the file (${file.size} bytes); get the file again`,
      )
    const header = file.read(8, Number(headerBytes))
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(header)
    } catch {
      throw new InputError(
        `${path}: the header is not UTF-8; get the file again, it is damaged or not safetensors`,
      )
    }
    const { metadata, infos } = parseSafetensorsHeader(path, text, file.size - dataStart)

    const infoOf = (name: string): SafetensorsInfo => {
      const info = infos.get(name)
      if (!info)
        throw new InputError(`${path}: holds no tensor ${JSON.stringify(name)}; get the whole file again`)
      return info
    }
    const bytes = (name: string): Uint8Array<ArrayBuffer> => {
      const { begin, end } = infoOf(name)
      return file.read(dataStart + begin, end - begin)
    }
    const tensor = (name: string): TensorData => view(infoOf(name).type, bytes(name))
    const decoded = (name: string, position: number, length: number): Float32Array => {
      const { type } = infoOf(name)
      const buffer = () => file.read(dataStart + position, length).buffer
      if (type === 'F32') return new Float32Array(buffer())
      if (type === 'F16') return halfToFloat32(new Uint16Array(buffer()))
      if (type === 'BF16') return bfloat16ToFloat32(new Uint16Array(buffer()))
      throw new InputError(
        `${path}: tensor ${JSON.stringify(name)} is ${type}; a weight must be F32, F16 or BF16`,
      )
    }
    const float32 = (name: string): Float32Array => {
      const { begin, end } = infoOf(name)
      return decoded(name, begin, end - begin)
    }
    const rows = (name: string, from: number, to: number): Float32Array => {
      const { begin, end, shape } = infoOf(name)
      const rowBytes = (end - begin) / (shape[0] ?? 1)
      return decoded(name, begin + from * rowBytes, (to - from) * rowBytes)
    }
    return { path, metadata, infos, tensor, float32, rows, bytes, close: () => file.close() }
  } catch (error) {
    file.close()
    throw error
  }
}

function view(type: SafetensorsType, { buffer }: Uint8Array<ArrayBuffer>): TensorData {
  switch (type) {
    case 'F32':
      return new Float32Array(buffer)
    case 'F16':
    case 'BF16':
      return new Uint16Array(buffer)
    case 'I64':
      return new BigInt64Array(buffer)
    case 'I32':
      return new Int32Array(buffer)
    case 'I8':
      return new Int8Array(buffer)
    case 'U8':
      return new Uint8Array(buffer)
  }
}

export interface TensorToWrite {
  name: string
  type: SafetensorsType
  shape: readonly number[]
  /** F16 and BF16 as their bits. A function is called when the tensor's turn comes, so that one tensor is in memory at a time. */
  data: TensorData | (() => TensorData)
}

/** The reference sorts by type, widest first, then by name: every tensor is aligned, and equal tensors give equal bytes. */
const TYPE_ORDER: SafetensorsType[] = ['I64', 'F32', 'I32', 'BF16', 'F16', 'I8', 'U8']

/**
 * Writes a file in the reference implementation's own order, header padded to 8 bytes: byte for byte what Python's
 * safetensors writes. Temporary name, fsync, rename. InputError where the disk is full.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const rank = (t: TensorToWrite) => TYPE_ORDER.indexOf(t.type)
  const sorted = [...tensors].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
  const entries: [string, unknown][] = metadata ? [['__metadata__', metadata]] : []
  const seen = new Set<string>()
  let offset = 0
  for (const { name, type, shape } of sorted) {
    if (seen.has(name)) throw new Error(`two tensors are named ${name}`)
    seen.add(name)
    const end = offset + byteLength(type, shape)
    entries.push([name, { dtype: type, shape, data_offsets: [offset, end] }])
    offset = end
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ')
  header.writeBigUInt64LE(BigInt(header.length - 8), 0)
  json.copy(header, 8)
  await writeOutputFile(path, contents(header, sorted))
}

function* contents(header: Uint8Array, tensors: TensorToWrite[]): Generator<Uint8Array> {
  yield header
  for (const { name, type, shape, data } of tensors) {
    const values = typeof data === 'function' ? data() : data
    if (values.byteLength !== byteLength(type, shape))
      throw new Error(`${name} is ${type} of shape [${shape.join(', ')}] but has ${values.byteLength} bytes`)
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  }
}

function byteLength(type: SafetensorsType, shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, ELEMENT_BYTES[type])
}
