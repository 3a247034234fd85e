import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { InputError } from '../errors.ts'
import type { SourceFile } from './source-row.ts'

/**
 * A file's bytes in pieces, each checked to be whole UTF-8 characters, a byte order mark left out.
 * InputError: no such file, no file at all, empty, may not be read, not UTF-8 (with the byte's offset).
 */
export async function* readUtf8Chunks({ name, path }: SourceFile): AsyncGenerator<Buffer> {
  await checkFile(name, path)
  let offset = 0 // of `rest` in the file
  let rest: Buffer = Buffer.alloc(0) // a character that the last piece cut in two: 3 bytes at most
  try {
    for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
      let chunk = rest.length > 0 ? Buffer.concat([rest, piece]) : piece
      if (offset === 0 && isUtf16(chunk))
        throw new InputError(`${name}: is UTF-16, not UTF-8; save the file as UTF-8`)
      if (offset === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK)) {
        chunk = chunk.subarray(3)
        offset = 3
      }
      const whole = wholeCharacters(chunk)
      rest = chunk.subarray(whole)
      const characters = chunk.subarray(0, whole)
      if (!isUtf8(characters)) throw notUtf8(name, offset + firstInvalidByte(characters))
      offset += whole
      if (whole > 0) yield characters
    }
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    throw new InputError(`${name}: cannot be read (${reason(cause)}); check the file and its permissions`, {
      cause,
    })
  }
  if (rest.length > 0) throw notUtf8(name, offset)
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

async function checkFile(name: string, path: string): Promise<void> {
  let size: number
  try {
    const found = await stat(path)
    if (!found.isFile())
      throw new InputError(`${name}: is a folder or device; name a .json, .jsonl, .csv or .parquet file`)
    size = found.size
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new InputError(`${name}: there is no such file; check the path in spec.data`, { cause })
    throw new InputError(`${name}: cannot be read (${reason(cause)}); check its permissions`, { cause })
  }
  if (size === 0) throw new InputError(`${name}: is empty; put rows into it or leave it out of spec.data`)
}

const reason = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

const notUtf8 = (name: string, offset: number) =>
  new InputError(`${name}: is not UTF-8 at byte ${offset}; save the file as UTF-8`)

const isUtf16 = (bytes: Buffer) =>
  (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)

/** How many bytes the character has that begins with `lead` (RFC 3629); 1 for a byte that can begin none. */
function characterBytes(lead: number): number {
  if (lead >= 0xf0 && lead < 0xf8) return 4
  if (lead >= 0xe0 && lead < 0xf0) return 3
  if (lead >= 0xc0 && lead < 0xe0) return 2
  return 1
}

/** Length of `bytes` without a last character that is not all there yet. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte >= 0x80 && byte < 0xc0) continue // inside a character: look for its first byte
    return characterBytes(byte) > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

/** Offset of the first character that is not UTF-8. Called only for bytes known to hold one. */
function firstInvalidByte(bytes: Buffer): number {
  let at = 0
  while (at < bytes.length) {
    const next = at + characterBytes(bytes[at] ?? 0)
    if (next > bytes.length || !isUtf8(bytes.subarray(at, next))) return at
    at = next
  }
  return at
}
