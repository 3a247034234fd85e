import { statfs } from 'node:fs/promises'
import { ConflictError, CorruptError, FencedError, InputError, TransientError } from '../errors.ts'

const code = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

export const isMissing = (error: unknown): boolean => code(error) === 'ENOENT'
export const isThere = (error: unknown): boolean => code(error) === 'EEXIST' || code(error) === 'ENOTEMPTY'

/** A failed file operation as the error that says what has to happen next. `doing` is a clause: `writing models/a/current.json`. */
export async function fileError(error: unknown, doing: string, root: string): Promise<Error> {
  const kinds = [ConflictError, CorruptError, FencedError, InputError, TransientError]
  if (kinds.some((kind) => error instanceof kind)) return error as Error
  const reason = error instanceof Error ? error.message : String(error)
  const options = { cause: error }
  switch (code(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new InputError(
        `the disk of ${root} is full${await freeSpace(root)} (${doing}); free space there or choose another place`,
        options,
      )
    case 'EFBIG':
      return new InputError(
        `a file in ${root} became larger than its limit allows (${doing}); raise the file size limit (ulimit -f)`,
        options,
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new InputError(
        `${root} cannot be written or read (${doing}: ${reason}); give this user the right, or choose another place`,
        options,
      )
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
    case 'EXDEV':
    case 'EMLINK':
      return new InputError(
        `the file system of ${root} cannot link files (${doing}: ${reason}), which safe writes need; choose a folder on another one`,
        options,
      )
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return new InputError(
        `${root} has something else where its object belongs (${doing}: ${reason}); move it away`,
        options,
      )
    case undefined:
      return error instanceof Error ? error : new TransientError(`${doing} failed: ${reason}`, options)
    default:
      return new TransientError(`the disk of ${root} failed while ${doing}: ${reason}`, options)
  }
}

async function freeSpace(root: string): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(root)
    return `, ${Math.floor((bavail * bsize) / 1e6)} MB free`
  } catch {
    return '' // The message is about the full disk; how full is a detail that may be unknown.
  }
}
