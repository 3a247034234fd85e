import { createJsonRowScanner } from './json-row-scanner.ts'
import { readJsonl } from './read-jsonl.ts'
import { MAX_ROW_BYTES } from './row-limits.ts'
import type { SourceFile, SourceRow } from './source-row.ts'
import { readUtf8Chunks } from './utf8-chunks.ts'

const NEW_LINE = 0x0a
const OPENING_BRACE = 0x7b

/**
 * Rows of a .json file: one list of objects, or one object with one list in it. Many published sets name JSON Lines .json too:
 * where the first line is a whole object and another line follows, the file is read as that.
 */
export async function* readJson(source: SourceFile): AsyncGenerator<SourceRow> {
  if (await isJsonLines(source)) {
    yield* readJsonl(source)
    return
  }
  const scanner = createJsonRowScanner(source.name)
  for await (const chunk of readUtf8Chunks(source)) yield* scanner.push(chunk)
  scanner.end()
}

async function isJsonLines(source: SourceFile): Promise<boolean> {
  const line: Buffer[] = []
  let bytes = 0
  let first: string | undefined
  for await (const chunk of readUtf8Chunks(source)) {
    const end = first === undefined ? chunk.indexOf(NEW_LINE) : 0
    if (first === undefined) {
      line.push(end === -1 ? chunk : chunk.subarray(0, end))
      bytes += chunk.length
      if (line[0]?.[0] !== OPENING_BRACE || bytes > MAX_ROW_BYTES) return false
      if (end === -1) continue
      first = Buffer.concat(line).toString('utf8')
      if (!isObject(first)) return false
    }
    if (chunk.subarray(end).toString('utf8').trim() !== '') return true
  }
  return false
}

function isObject(text: string): boolean {
  try {
    JSON.parse(text)
    return true // it begins with {, so what parses is an object
  } catch {
    return false
  }
}
