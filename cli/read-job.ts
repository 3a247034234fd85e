import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { InputError } from '../src/errors.ts'
import { resolveDocumentPaths } from '../src/spec/document-paths.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import { parseFineTune } from '../src/spec/parse-fine-tune.ts'

/** A job's document, checked, with its paths made absolute. InputError with everything that is wrong with it. */
export async function readJob(file: string): Promise<{ name: string; spec: FineTuneSpec }> {
  const { name, spec } = parseFineTune(await readDocument(file), file)
  return { name, spec: resolveDocumentPaths(spec, dirname(resolve(file))) }
}

async function readDocument(file: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a folder'
          : `it cannot be read (${code})`
    throw new InputError(`${file}: ${why}; give the path of a FineTune document.`, { cause: error })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new InputError(`${file}: it is not UTF-8 text; save it as UTF-8.`, { cause: error })
  }
}
