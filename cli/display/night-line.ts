import type { HistoryRecord } from '../../src/nightly/night-record.ts'

/** One night, or one rollback, on one line. */
export function nightLine(record: HistoryRecord): string {
  const parts = [record.at.replace('T', ' ').slice(0, 16), record.end.padEnd(10)]
  if (record.end === 'rolledBack') return [...parts, record.why].join('  ')
  if (record.version !== undefined) parts.push(`version ${record.version}`)
  const { rows } = record
  if (rows) parts.push(`${rows.read} rows, ${rows.fresh} new, ${rows.cleaned} cleaned`)
  return [...parts, record.why].join('  ')
}
