import { join } from 'node:path'
import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { type CanonicalRow, rowId } from './canonical-row.ts'
import { cleanContent, removalReason } from './clean-content.ts'
import { breathe, type DataProgress, ROWS_PER_BREATH } from './data-progress.ts'
import { isEvaluationRow } from './is-evaluation-row.ts'
import { type JsonlWriter, openJsonlWriter } from './jsonl-writer.ts'
import { readRows } from './read-rows.ts'
import { isFields, kindOf, rowContent } from './row-content.ts'
import { checkFormat, columnNames, recogniseFormat, type RowFormat } from './row-format.ts'
import type { SourceFile, SourceRow } from './source-row.ts'

export interface CleanRowsOptions {
  sources: readonly SourceFile[]
  /** Where there are none, a share of the rows is held out. */
  evalSources: readonly SourceFile[]
  settings: Pick<FineTuneSpec['data'], 'format' | 'columns' | 'clean' | 'evalFraction'>
  /** An existing folder; receives train.jsonl, eval.jsonl and removed.jsonl. */
  outDir: string
  progress?: DataProgress
  signal?: AbortSignal
  /** Which rows of a source are read; default: all. */
  read?: (source: SourceFile) => AsyncIterable<SourceRow>
  /** These are some rows of a larger whole: either side may be empty. */
  isPart?: boolean
}

export interface CleanSummary {
  /** What the rows were recognised as; of several files with different formats, each once, joined by " + ". */
  format: string
  read: number
  kept: number
  /** Rows left out, by reason. */
  removed: Record<string, number>
  /** Kept rows that HTML was taken out of. */
  htmlStripped: number
  train: number
  eval: number
}

/**
 * Reads the sources and writes rows of one shape: cleaned, each once, in the order of the files. Each row that is left out is
 * in removed.jsonl with its reason. InputError for input that only its owner can mend (see readRows and row-format).
 */
export async function cleanRows(options: CleanRowsOptions): Promise<CleanSummary> {
  const { outDir } = options
  const writers = {
    train: openJsonlWriter(join(outDir, 'train.jsonl')),
    eval: openJsonlWriter(join(outDir, 'eval.jsonl')),
    removed: openJsonlWriter(join(outDir, 'removed.jsonl')),
  }
  try {
    const summary = await sortRows(options, writers)
    if (!options.isPart) checkSummary(summary, options)
    for (const writer of Object.values(writers)) await writer.close()
    return summary
  } catch (error) {
    for (const writer of Object.values(writers)) await writer.abandon()
    throw error
  }
}

type Writers = Record<'train' | 'eval' | 'removed', JsonlWriter>

async function sortRows(options: CleanRowsOptions, writers: Writers): Promise<CleanSummary> {
  const { sources, evalSources, settings, progress, signal, read = readRows } = options
  const summary: CleanSummary = {
    format: '',
    read: 0,
    kept: 0,
    removed: {},
    htmlStripped: 0,
    train: 0,
    eval: 0,
  }
  const formats = new Set<RowFormat>()
  const seen = { train: new Set<string>(), eval: new Set<string>() }

  const remove = async (reason: string, row: SourceRow) => {
    summary.removed[reason] = (summary.removed[reason] ?? 0) + 1
    await writers.removed.write({ at: row.at, reason, row: row.value })
  }

  const take = async (row: SourceRow, format: RowFormat, isEvalSource: boolean) => {
    const raw = rowContent(asFields(row), row.at, format, columnNames(settings.columns))
    const { content, hadHtml } = cleanContent(raw, settings.clean)
    const reason = removalReason(content, settings.clean)
    if (reason) return remove(reason, row)
    const id = rowId(content)
    const isHeldOut = evalSources.length === 0 && isEvaluationRow(id, settings.evalFraction)
    const side = isEvalSource || isHeldOut ? 'eval' : 'train'
    // The evaluation files are read first, so that what they hold is known before any row goes to the training side.
    if (side === 'train' && seen.eval.has(id)) return remove('also in the evaluation rows', row)
    if (seen[side].has(id) && settings.clean.deduplicate === 'exact') return remove('duplicate', row)
    seen[side].add(id)
    if (hadHtml) summary.htmlStripped++
    summary.kept++
    summary[side]++
    const canonical: CanonicalRow = { id, at: row.at, ...content }
    await writers[side].write(canonical)
  }

  for (const [source, isEvalSource] of [
    ...evalSources.map((source) => [source, true] as const),
    ...sources.map((source) => [source, false] as const),
  ]) {
    let format: RowFormat | undefined
    for await (const row of read(source)) {
      format ??= formatOf(row, settings)
      formats.add(format)
      checkFormat(asFields(row), row.at, format, columnNames(settings.columns))
      await take(row, format, isEvalSource)
      if (++summary.read % ROWS_PER_BREATH !== 0) continue
      progress?.({ step: 'clean', rows: summary.read })
      await breathe(signal)
    }
  }
  summary.format = [...formats].join(' + ')
  progress?.({ step: 'clean', rows: summary.read })
  return summary
}

function formatOf(first: SourceRow, { format, columns }: CleanRowsOptions['settings']): RowFormat {
  return format === 'auto' ? recogniseFormat(asFields(first), first.at, columnNames(columns)) : format
}

function asFields({ at, value }: SourceRow): Record<string, unknown> {
  if (!isFields(value))
    throw new InputError(`${at}: the row must be an object with fields, but is ${kindOf(value)}; mend it`)
  return value
}

/** Training needs rows to learn from, and evaluation rows that it never saw. */
function checkSummary({ read, train, eval: held, removed }: CleanSummary, options: CleanRowsOptions): void {
  const { sources, evalSources, settings } = options
  const names = (files: readonly SourceFile[]) => files.map((file) => file.name).join(', ')
  const reasons = Object.entries(removed).map(([reason, count]) => `${reason}: ${count}`)
  const because = reasons.length > 0 ? `removed of ${read} rows: ${reasons.join(', ')}` : `${read} rows`
  if (train === 0)
    throw new InputError(`${names(sources)}: no row is left to train on (${because}); add rows or mend them`)
  if (held > 0) return
  throw new InputError(
    evalSources.length > 0
      ? `${names(evalSources)}: no row is left to evaluate on (${because}); add rows or mend them`
      : `${names(sources)}: none of the ${train} rows falls into the ${settings.evalFraction * 100} % held out for evaluation; add rows, raise spec.data.evalFraction, or name a file in spec.data.eval`,
  )
}
