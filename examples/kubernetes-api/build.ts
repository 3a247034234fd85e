import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type KindDoc, readModelDocs } from './model-docs.ts'
import { askForField, askForKind, type QuestionAnswer } from './question-answer.ts'

/** Rows of the two files. Enough to see a small model change within minutes on two cores. */
const TRAIN_ROWS = 384
const EVAL_ROWS = 40
/** Share of the objects, by name, that only the evaluation asks about. */
const HELD_OUT_KINDS = 0.15
/** Share of the objects that are asked about as such; the fields are the richer half of the documentation. */
const KINDS_ASKED = 0.4
/** A field such as `name` is in a hundred objects; more of the same would drown the others. */
const MAX_ROWS_OF_A_FIELD = 3

/** Where the rows are, and how many. */
export interface KubernetesApiRows {
  train: { path: string; rows: number }
  eval: { path: string; rows: number }
}

interface Candidate extends QuestionAnswer {
  kind: string
  field: string
}

/**
 * Questions and answers about the Kubernetes API, made from the documentation inside the installed @kubernetes/client-node:
 * `outDir`/train.jsonl and eval.jsonl, {instruction, output} a line. The same package, the same rows. The evaluation asks about
 * objects and fields that the training never names, and no answer is in both.
 */
export function buildKubernetesApiRows(outDir: string): KubernetesApiRows {
  const candidates = inMixedOrder(unlike(readModelDocs().flatMap(candidatesOf)))
  const held = candidates.filter((row) => share(row.kind) < HELD_OUT_KINDS).slice(0, EVAL_ROWS)
  const heldFields = new Set(held.map((row) => row.field))
  const train = candidates
    .filter((row) => share(row.kind) >= HELD_OUT_KINDS)
    .filter((row) => row.field === '' || !heldFields.has(row.field))
    .slice(0, TRAIN_ROWS)
  mkdirSync(outDir, { recursive: true })
  return { train: write(join(outDir, 'train.jsonl'), train), eval: write(join(outDir, 'eval.jsonl'), held) }
}

function candidatesOf(kind: KindDoc): Candidate[] {
  if (kind.kind.endsWith('List')) return [] // all lists say the same
  const wording = (field: string) => Math.floor(share(`${kind.kind}.${field} wording`) * 1000)
  const about = share(kind.description) < KINDS_ASKED ? askForKind(kind, wording('')) : undefined
  const rows: Candidate[] = about ? [{ ...about, kind: kind.kind, field: '' }] : []
  for (const field of kind.fields) {
    if (['apiVersion', 'kind', 'metadata'].includes(field.name)) continue // the same in every object
    const row = askForField(kind.kind, field, wording(field.name))
    if (row) rows.push({ ...row, kind: kind.kind, field: field.name })
  }
  return rows
}

/** Each question once (two API groups have an Event), each description once, whatever it stands in, and few rows of one field. */
function unlike(rows: readonly Candidate[]): Candidate[] {
  const seen = new Set<string>()
  const ofField = new Map<string, number>()
  return rows.filter(({ kind, field, output }) => {
    const description = output.slice(output.indexOf('. ') + 2)
    const content = description
      .replaceAll(kind, '')
      .replace(/[^a-zA-Z]/g, '')
      .toLowerCase()
    const count = field === '' ? 0 : (ofField.get(field) ?? 0)
    const place = `${kind}.${field}`
    if (seen.has(content) || seen.has(place) || count >= MAX_ROWS_OF_A_FIELD) return false
    seen.add(content).add(place)
    ofField.set(field, count + 1)
    return true
  })
}

const inMixedOrder = (rows: readonly Candidate[]): Candidate[] =>
  rows.toSorted((a, b) => share(a.instruction) - share(b.instruction))

/** A number in [0, 1) that a text always gives: a draw without chance. */
function share(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32
}

function write(path: string, rows: readonly Candidate[]): { path: string; rows: number } {
  const lines = rows.map(({ instruction, output }) => `${JSON.stringify({ instruction, output })}\n`)
  writeFileSync(path, lines.join(''))
  return { path, rows: rows.length }
}

if (import.meta.main) {
  const { train, eval: held } = buildKubernetesApiRows(process.argv[2] ?? import.meta.dirname)
  process.stdout.write(`${train.path}: ${train.rows} rows\n${held.path}: ${held.rows} rows\n`)
}
