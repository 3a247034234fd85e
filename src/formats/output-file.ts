import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { InputError } from '../errors.ts'

/**
 * Writes a file so that its name only ever shows the whole of it: temporary name beside it, fsync, rename, fsync of the
 * folder. On any failure the temporary file is removed and what was there before stays. InputError where the disk is full
 * or the folder may not be written.
 */
export async function writeOutputFile(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const file = await open(temporary, 'wx')
    try {
      for await (const chunk of chunks) await file.writeFile(chunk)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw explained(path, cause)
  }
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function explained(path: string, cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const says = (mend: string) => new InputError(`${path}: ${mend}`, { cause })
  if (code === 'ENOSPC' || code === 'EDQUOT') return says('the disk is full; make room and run again')
  if (code === 'ENOENT' || code === 'ENOTDIR') return says('its folder does not exist; create it first')
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return says('its folder may not be written; grant this user write permission or choose another')
  return cause
}
