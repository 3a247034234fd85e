import { readFileSync } from 'node:fs'

// Made by test/peers/ggml_blocks.py with the Python packages gguf and numpy.
const file = new URL('../fixtures/ggml-blocks.json', import.meta.url)
const entries = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>

/** The bytes of one field of ggml-blocks.json, in a buffer of their own. */
export function fixture(entry: string, field: string): Uint8Array<ArrayBuffer> {
  const text = entries[entry]?.[field]
  if (text === undefined) throw new Error(`no ${entry}.${field} in the fixture`)
  return Uint8Array.from(Buffer.from(text, 'base64'))
}
