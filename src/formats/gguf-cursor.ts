import { InputError } from '../errors.ts'
import { GGUF_VALUE_IDS, type GgufScalar, type GgufScalarType, type GgufValue } from './gguf-values.ts'
import type { InputFile } from './input-file.ts'

/** The header is read in pieces of this size: SmolLM2's takes two, Llama-3's eight. */
const WINDOW = 1 << 20

/** A long chat template has 100 kB; a longer string is an attack on memory (CWE-789). */
const MAX_STRING = 1 << 24

/** Gemma's merges are half a million; a longer array is an attack on memory. */
const MAX_ARRAY = 1 << 24

/** Reads a GGUF header forward; every call names what it expects, so that a refusal says what is wrong. */
export interface GgufCursor {
  readonly path: string
  readonly fileSize: number
  readonly position: number
  uint32(what: string): number
  uint64(what: string): bigint
  string(what: string): string
  value(what: string): GgufValue
  /** Throws an InputError that names the file and says to get it again. */
  refuse(what: string): never
}

export function openGgufCursor(file: InputFile): GgufCursor {
  const { path, size: fileSize } = file
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let position = 0
  let windowStart = 0
  let window = new Uint8Array(0)

  const refuse = (what: string): never => {
    throw new InputError(`${path}: ${what}; get the file again, it is damaged or not a GGUF`)
  }

  /** The next `length` bytes. */
  const take = (length: number, what: string): DataView => {
    if (length > fileSize - position)
      refuse(`${what} goes beyond the end of the file (byte ${position} + ${length} of ${fileSize})`)
    if (position + length > windowStart + window.length) {
      windowStart = position
      window = file.read(position, Math.min(Math.max(WINDOW, length), fileSize - position))
    }
    const place = position - windowStart
    position += length
    return new DataView(window.buffer, place, length)
  }

  const string = (what: string): string => {
    const length = take(8, what).getBigUint64(0, true)
    if (length > MAX_STRING) refuse(`${what} claims ${length} bytes, more than ${MAX_STRING}`)
    const bytes = take(Number(length), what)
    try {
      return utf8.decode(bytes)
    } catch {
      return refuse(`${what} is not UTF-8`)
    }
  }

  const scalar = (type: GgufScalarType, what: string): GgufScalar => {
    switch (type) {
      case 'UINT8':
        return take(1, what).getUint8(0)
      case 'INT8':
        return take(1, what).getInt8(0)
      case 'UINT16':
        return take(2, what).getUint16(0, true)
      case 'INT16':
        return take(2, what).getInt16(0, true)
      case 'UINT32':
        return take(4, what).getUint32(0, true)
      case 'INT32':
        return take(4, what).getInt32(0, true)
      case 'FLOAT32':
        return take(4, what).getFloat32(0, true)
      case 'FLOAT64':
        return take(8, what).getFloat64(0, true)
      case 'UINT64':
        return take(8, what).getBigUint64(0, true)
      case 'INT64':
        return take(8, what).getBigInt64(0, true)
      case 'BOOL':
        return take(1, what).getUint8(0) !== 0
      case 'STRING':
        return string(what)
    }
  }

  const valueType = (what: string): keyof typeof GGUF_VALUE_IDS => {
    const id = take(4, what).getUint32(0, true)
    const found = Object.entries(GGUF_VALUE_IDS).find(([, known]) => known === id)
    return found ? (found[0] as keyof typeof GGUF_VALUE_IDS) : refuse(`${what} has the unknown type ${id}`)
  }

  const value = (what: string): GgufValue => {
    const type = valueType(what)
    if (type !== 'ARRAY') return { type, value: scalar(type, what) } as GgufValue
    const of = valueType(what)
    if (of === 'ARRAY') return refuse(`${what} is an array of arrays`)
    const length = take(8, what).getBigUint64(0, true)
    // Every element takes a byte or more, so a count beyond the file's rest is refused before any element is read.
    if (length > MAX_ARRAY || length > fileSize - position)
      refuse(
        `${what} claims ${length} elements, more than the file or the limit of ${MAX_ARRAY} has room for`,
      )
    const elements: GgufScalar[] = []
    for (let i = 0; i < Number(length); i++) elements.push(scalar(of, what))
    return { type, of, value: elements }
  }

  return {
    path,
    fileSize,
    get position() {
      return position
    },
    uint32: (what) => take(4, what).getUint32(0, true),
    uint64: (what) => take(8, what).getBigUint64(0, true),
    string,
    value,
    refuse,
  }
}
