import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { type CleanRowsOptions, type CleanSummary, cleanRows } from '../../src/data/clean-rows.ts'
import type { SourceFile } from '../../src/data/source-row.ts'

export const SETTINGS: CleanRowsOptions['settings'] = {
  format: 'auto',
  evalFraction: 0.1,
  clean: { html: 'strip', deduplicate: 'exact', minAnswerCharacters: 1 },
}

/** A folder of the test's own, gone when the file's tests are over. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'temper-data-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface CleanInput {
  train?: Record<string, unknown[] | string>
  eval?: Record<string, unknown[] | string>
  settings?: Partial<CleanRowsOptions['settings']>
}

export interface Cleaned {
  summary: CleanSummary
  outDir: string
  train: Record<string, unknown>[]
  eval: Record<string, unknown>[]
  removed: Record<string, unknown>[]
}

/** Writes the files (a list is written as JSON Lines), cleans them, and reads what came of it. */
export async function clean(input: CleanInput): Promise<Cleaned> {
  const folder = testFolder()
  const outDir = join(folder, 'out')
  mkdirSync(outDir)
  const put = (files: CleanInput['train'] = {}): SourceFile[] =>
    Object.entries(files).map(([name, rows]) => {
      const path = join(folder, name)
      writeFileSync(path, typeof rows === 'string' ? rows : rows.map((row) => JSON.stringify(row)).join('\n'))
      return { name, path }
    })
  const summary = await cleanRows({
    sources: put(input.train),
    evalSources: put(input.eval),
    settings: { ...SETTINGS, ...input.settings },
    outDir,
  })
  return {
    summary,
    outDir,
    train: readJsonl(join(outDir, 'train.jsonl')),
    eval: readJsonl(join(outDir, 'eval.jsonl')),
    removed: readJsonl(join(outDir, 'removed.jsonl')),
  }
}

export function readJsonl(path: string): Record<string, unknown>[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** One row that is good for evaluation. */
export const EVAL = { 'eval.jsonl': [{ instruction: 'held', output: 'out' }] }
