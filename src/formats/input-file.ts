import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { InputError } from '../errors.ts'

/** One read call takes at most this many bytes: Node refuses 2 GiB and above. */
const MAX_READ = 2 ** 30

/** A file that is read by position, piece by piece: a model never lies in memory whole. */
export interface InputFile {
  readonly path: string
  readonly size: number
  /** A fresh buffer of its own (offset 0, so any typed array fits over it). InputError where the file ends before. */
  read(position: number, length: number): Uint8Array<ArrayBuffer>
  close(): void
}

/** Opens an existing file. InputError naming it where it is missing, no file, or may not be read. */
export function openInputFile(path: string): InputFile {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (cause) {
    throw new InputError(`${path}: ${reason(cause)}`, { cause })
  }
  const stat = fstatSync(descriptor)
  if (!stat.isFile()) {
    closeSync(descriptor)
    throw new InputError(`${path}: is not a file; name a file`)
  }
  let open = true
  return {
    path,
    size: stat.size,
    read(position, length) {
      if (!open) throw new Error(`${path} was read after it had been closed`)
      const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
      for (let done = 0; done < length;) {
        const wanted = Math.min(MAX_READ, length - done)
        const got = readSync(descriptor, bytes, done, wanted, position + done)
        if (got === 0) {
          const end = position + done
          throw new InputError(
            `${path}: ends at byte ${end} of ${position + length}; get the file again, it is cut off`,
          )
        }
        done += got
      }
      return bytes
    },
    close() {
      if (open) closeSync(descriptor)
      open = false
    },
  }
}

function reason(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file; check the path'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read; grant this user read permission'
  return `cannot be opened (${cause instanceof Error ? cause.message : String(cause)})`
}
