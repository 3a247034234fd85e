import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** The files that make a model: plain names at the top of a repository, data only. Nothing else is fetched or counts for the digest. */
const MODEL_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|model\.safetensors\.index)\.json$|^chat_template\.jinja$|^model(-\d{5}-of-\d{5})?\.safetensors$/

const SHARD_INDEX = 'model.safetensors.index.json'

export interface FileDigest {
  name: string
  size: number
  sha256: string
}

/** Of a repository's or folder's names those that make the model; with an index its shards, else the one weight file. */
export function modelFiles(names: readonly string[]): string[] {
  const files = names.filter((name) => MODEL_FILE.test(name)).sort()
  const unused = files.includes(SHARD_INDEX)
    ? (name: string) => name === 'model.safetensors'
    : (name: string) => /^model-\d/.test(name)
  return files.filter((name) => !unused(name))
}

/** The same bytes under the same names, the same digest, wherever they lie. */
export function digestOfFiles(files: readonly FileDigest[]): string {
  const hash = createHash('sha256')
  for (const { name, size, sha256 } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    hash.update(`${name} ${size} ${sha256}\n`)
  return hash.digest('hex')
}

/** SHA-256 of a model folder's files, or of a .gguf whatever its name. */
export async function digestOfModel(path: string, signal: AbortSignal | undefined): Promise<string> {
  const named: [string, string][] = statSync(path).isDirectory()
    ? modelFiles(readdirSync(path)).map((name) => [name, join(path, name)])
    : [['model.gguf', path]]
  const files: FileDigest[] = []
  for (const [name, file] of named)
    files.push({
      name,
      size: statSync(file).size,
      sha256: await hashFile(file, createHash('sha256'), signal),
    })
  return digestOfFiles(files)
}

/** Feeds a whole file to a hash; hexadecimal. */
export async function hashFile(
  path: string,
  hash: ReturnType<typeof createHash>,
  signal: AbortSignal | undefined,
): Promise<string> {
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, signal ? { signal } : {})
  return hash.digest('hex')
}
