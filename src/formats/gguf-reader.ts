import { InputError } from '../errors.ts'
import { dequantize } from './dequantize.ts'
import { GGML_TYPES, ggmlBytes, type GgmlType } from './ggml-types.ts'
import { openGgufCursor, type GgufCursor } from './gguf-cursor.ts'
import { GGUF_DEFAULT_ALIGNMENT, type GgufMetadata } from './gguf-values.ts'
import { openInputFile } from './input-file.ts'

/** No published model has more keys or tensors; beyond this a header only costs memory and time (CWE-770). */
const MAX_METADATA = 65_536
const MAX_TENSORS = 200_000

/** ggml's own: GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4

/** Files use 32; a page is the largest that has a use, and a wild value would only push the offsets out of the file. */
const MAX_ALIGNMENT = 65_536

export interface GgufTensorInfo {
  name: string
  type: GgmlType
  /** Outermost first, as PyTorch has it: the file's dimensions reversed. */
  shape: number[]
  /** From the file's first byte. */
  position: number
  bytes: number
}

/** A GGUF file (version 2 or 3, little-endian), its header read and checked, its tensors still on the disk. */
export interface GgufFile {
  readonly path: string
  readonly metadata: GgufMetadata
  /** In the file's order. */
  readonly infos: ReadonlyMap<string, GgufTensorInfo>
  /** Decoded to float32, a fresh buffer. InputError where the tensor is missing. */
  float32(name: string): Float32Array
  /** The stored blocks, a fresh buffer; of the first dimension's entries from `from` up to `to`, or all. InputError where the tensor is missing. */
  bytes(name: string, from?: number, to?: number): Uint8Array<ArrayBuffer>
  close(): void
}

/** Reads and checks the header only. InputError names the file and the place where it is damaged, hostile or not supported. */
export function readGguf(path: string): GgufFile {
  const file = openInputFile(path)
  try {
    const cursor = openGgufCursor(file)
    const counts = readPreamble(cursor)
    const metadata: GgufMetadata = new Map()
    for (let i = 0; i < counts.metadata; i++) {
      const key = cursor.string(`key ${i + 1} of ${counts.metadata}`)
      if (metadata.has(key)) cursor.refuse(`the key ${quote(key)} stands twice`)
      metadata.set(key, cursor.value(`the value of ${quote(key)}`))
    }
    const infos = readTensorInfos(cursor, counts.tensors, alignmentOf(cursor, metadata))
    const infoOf = (name: string): GgufTensorInfo => {
      const info = infos.get(name)
      if (!info) throw new InputError(`${path}: holds no tensor ${quote(name)}; get the whole file again`)
      return info
    }
    const bytes = (name: string, from = 0, to?: number): Uint8Array<ArrayBuffer> => {
      const info = infoOf(name)
      const [rows = 1] = info.shape
      const rowBytes = info.bytes / rows
      return file.read(info.position + from * rowBytes, ((to ?? rows) - from) * rowBytes)
    }
    return {
      path,
      metadata,
      infos,
      bytes,
      float32: (name) => dequantize(infoOf(name).type, bytes(name)),
      close: () => file.close(),
    }
  } catch (error) {
    file.close()
    throw error
  }
}

function readPreamble(cursor: GgufCursor): { tensors: number; metadata: number } {
  if (cursor.uint32('the magic number') !== 0x46554747) cursor.refuse('does not begin with GGUF')
  const version = cursor.uint32('the version')
  if (version === 0x02000000 || version === 0x03000000) cursor.refuse('is big-endian, which is not supported')
  if (version !== 2 && version !== 3) cursor.refuse(`is GGUF version ${version}, supported are 2 and 3`)
  const tensors = cursor.uint64('the number of tensors')
  const metadata = cursor.uint64('the number of metadata keys')
  if (tensors > MAX_TENSORS) cursor.refuse(`claims ${tensors} tensors, more than ${MAX_TENSORS}`)
  if (metadata > MAX_METADATA) cursor.refuse(`claims ${metadata} metadata keys, more than ${MAX_METADATA}`)
  return { tensors: Number(tensors), metadata: Number(metadata) }
}

function alignmentOf(cursor: GgufCursor, metadata: GgufMetadata): number {
  const entry = metadata.get('general.alignment')
  if (!entry) return GGUF_DEFAULT_ALIGNMENT
  const value = entry.type === 'UINT32' ? entry.value : 0
  if (value < 1 || value > MAX_ALIGNMENT || (value & (value - 1)) !== 0)
    cursor.refuse(`general.alignment is no power of two up to ${MAX_ALIGNMENT}`)
  return value
}

function readTensorInfos(cursor: GgufCursor, count: number, alignment: number): Map<string, GgufTensorInfo> {
  const infos = new Map<string, GgufTensorInfo>()
  for (let i = 0; i < count; i++) {
    const name = cursor.string(`the name of tensor ${i + 1} of ${count}`)
    const at = `tensor ${quote(name)}`
    if (infos.has(name)) cursor.refuse(`${at} stands twice`)
    infos.set(name, readTensorInfo(cursor, name, at, alignment))
  }
  // Offsets count from the first aligned byte after the header.
  const dataStart = Math.ceil(cursor.position / alignment) * alignment
  let covered = dataStart
  for (const info of [...infos.values()].sort((a, b) => a.position - b.position)) {
    info.position += dataStart
    const at = `tensor ${quote(info.name)}`
    if (info.position < covered) cursor.refuse(`${at} begins inside the tensor before it`)
    covered = info.position + info.bytes
    if (covered > cursor.fileSize)
      cursor.refuse(`${at} ends at byte ${covered}, beyond the end of the file (${cursor.fileSize} bytes)`)
  }
  return infos
}

/** `position` still counts from the data's start. */
function readTensorInfo(cursor: GgufCursor, name: string, at: string, alignment: number): GgufTensorInfo {
  const dimensions = cursor.uint32(`the dimensions of ${at}`)
  if (dimensions > MAX_DIMENSIONS)
    cursor.refuse(`${at} claims ${dimensions} dimensions, more than ${MAX_DIMENSIONS}`)
  const shape: number[] = []
  let elements = 1
  for (let d = 0; d < dimensions; d++) {
    const size = cursor.uint64(`the shape of ${at}`)
    elements *= Number(size)
    if (!Number.isSafeInteger(elements)) cursor.refuse(`${at} has a shape too large for any file`)
    shape.unshift(Number(size))
  }
  const id = cursor.uint32(`the type of ${at}`)
  const found = Object.entries(GGML_TYPES).find(([, known]) => known.id === id)
  if (!found) {
    const known = Object.keys(GGML_TYPES).join(', ')
    throw new InputError(
      `${cursor.path}: ${at} has ggml type ${id}, supported are ${known}; use a file with one of these`,
    )
  }
  const type = found[0] as GgmlType
  const row = shape.at(-1) ?? 1
  if (row % GGML_TYPES[type].blockElements !== 0)
    cursor.refuse(
      `${at} has rows of ${row}, not a multiple of ${type}'s block of ${GGML_TYPES[type].blockElements}`,
    )
  const offset = cursor.uint64(`the offset of ${at}`)
  if (offset % BigInt(alignment) !== 0n)
    cursor.refuse(`${at} begins at ${offset}, not a multiple of ${alignment}`)
  if (offset > BigInt(cursor.fileSize))
    cursor.refuse(`${at} begins at byte ${offset} of the data, beyond the end of the file`)
  return { name, type, shape, position: Number(offset), bytes: ggmlBytes(type, elements) }
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 200))
}
