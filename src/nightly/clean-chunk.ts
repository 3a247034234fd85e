import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cleanRows, type CleanSummary } from '../data/clean-rows.ts'
import type { SourceRow } from '../data/source-row.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { type MadeArtifact, runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { canonicalJson } from '../store/canonical-json.ts'
import type { NightWork } from './night-work.ts'

/** Raised whenever cleaning would write other bytes for the same rows and settings. */
const VERSION = 1
/** 96 bits: rows of one name are told apart by them. */
const DIGEST_DIGITS = 24

/** Beside the files of cleanRows: place of each row (`at`) to the digest of its raw value. */
export const RAW_FILE = 'raw.json'

export type CleaningSettings = Pick<FineTuneSpec['data'], 'format' | 'columns' | 'clean' | 'evalFraction'>

export function cleaningSettings({
  format,
  columns,
  clean,
  evalFraction,
}: FineTuneSpec['data']): CleaningSettings {
  return { format, ...(columns && { columns }), clean, evalFraction }
}

/** A row as its source holds it, by its content. */
export function rawDigest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, DIGEST_DIGITS)
}

/** A row that was never seen before. */
export interface NewRow {
  raw: string
  /** Name of its file: each file has a format of its own. */
  file: string
  row: SourceRow
}

/** New rows, cleaned together and once. */
export function cleanChunk(
  context: StageContext,
  rows: readonly NewRow[],
  settings: CleaningSettings,
  work: NightWork,
): Promise<MadeArtifact<CleanSummary>> {
  const content = createHash('sha256')
    .update(
      rows
        .map(({ raw }) => raw)
        .sort()
        .join('\n'),
    )
    .digest('hex')
  const recipe = { stage: 'clean-chunk', version: VERSION, inputs: { rows: content }, settings }
  return runStage(context, recipe, async (outDir, digest) => {
    await work.begin(digest)
    const summary = await cleanRows({
      sources: [...new Set(rows.map(({ file }) => file))].map((name) => ({ name, path: name })),
      evalSources: [],
      settings,
      outDir,
      signal: context.signal,
      progress: ({ rows: done }) => context.progress({ phase: 'row', done, total: rows.length }),
      read: ({ name }) => rowsOf(rows, name),
      isPart: true,
    })
    const raws = Object.fromEntries(rows.map(({ raw, row }) => [row.at, raw]))
    await writeFile(join(outDir, RAW_FILE), JSON.stringify(raws))
    return summary
  })
}

// oxlint-disable-next-line typescript/require-await -- cleanRows reads a stream
async function* rowsOf(rows: readonly NewRow[], name: string): AsyncGenerator<SourceRow> {
  for (const { file, row } of rows) if (file === name) yield row
}
