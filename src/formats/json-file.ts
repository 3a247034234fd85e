import { InputError } from '../errors.ts'
import { openInputFile } from './input-file.ts'

/** Gemma's tokenizer.json, the largest in use, has 33 MB; JSON of much more would exhaust memory (CWE-770). */
const MAX_JSON_BYTES = 256 * 1024 * 1024

export type JsonObject = Record<string, unknown>

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads one JSON object (config.json, tokenizer.json, …). InputError names the file where it is missing, too large or no object. */
export function readJsonFile(path: string): JsonObject {
  const text = readTextFile(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new InputError(`${path}: is not JSON; get the file again or mend it`)
  }
  if (!isJsonObject(value))
    throw new InputError(`${path}: is not a JSON object; get the file again or mend it`)
  return value
}

/** Reads a small text file (a chat template). InputError names the file where it is missing, too large or not UTF-8. */
export function readTextFile(path: string): string {
  const file = openInputFile(path)
  try {
    if (file.size > MAX_JSON_BYTES)
      throw new InputError(
        `${path}: has ${file.size} bytes, more than ${MAX_JSON_BYTES}; this is not the file it should be`,
      )
    return new TextDecoder('utf-8', { fatal: true }).decode(file.read(0, file.size))
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    throw new InputError(`${path}: is not UTF-8; get the file again`, { cause })
  } finally {
    file.close()
  }
}
