import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { InputError } from '../src/errors.ts'
import { resolveDocumentPaths } from '../src/spec/document-paths.ts'
import type { FineTuneSpec } from '../src/spec/fine-tune.ts'
import { parseFineTune } from '../src/spec/parse-fine-tune.ts'
import { readYaml } from '../src/spec/read-yaml.ts'
import { canonicalJson } from '../src/store/canonical-json.ts'

/** A job's document, checked, with its paths made absolute. InputError with everything that is wrong with it. */
export async function readJob(
  file: string,
): Promise<{ name: string; spec: FineTuneSpec; specDigest: string }> {
  const text = await readDocument(file)
  const folder = dirname(resolve(file))
  const { name, spec } = parseFineTune(text, file)
  // Comments and the order of fields do not make another job; the folder does, since paths are relative to it.
  const { document } = readYaml(text, file)
  const specDigest = createHash('sha256').update(canonicalJson({ document, folder })).digest('hex')
  return { name, spec: resolveDocumentPaths(spec, folder), specDigest }
}

/** The text of a document. InputError where the file cannot be read. */
export async function readDocument(file: string, kind = 'FineTune'): Promise<string> {
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
    throw new InputError(`${file}: ${why}; give the path of a ${kind} document.`, { cause: error })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new InputError(`${file}: it is not UTF-8 text; save it as UTF-8.`, { cause: error })
  }
}
