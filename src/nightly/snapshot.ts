import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CleanSummary } from '../data/clean-rows.ts'
import { openJsonlWriter } from '../data/jsonl-writer.ts'
import { RowCollector } from '../data/row-collector.ts'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import type { Sample } from '../data/tokenize-side.ts'
import { writeTokenizedRows } from '../data/tokenized-rows.ts'
import { InputError } from '../errors.ts'
import { openInput } from '../stages/open-input.ts'
import type { ResolvedModel } from '../stages/resolve-model.ts'
import { type MadeArtifact, runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { readNamedRows } from '../train/read-rows.ts'
import type { ChunkRow } from './chunk-rows.ts'
import { LEARNED_FILE } from './continuation.ts'
import type { NightWork } from './night-work.ts'
import type { TokenizingSettings } from '../stages/tokenize-artifact.ts'
import { tokenizeChunk } from './tokenize-chunk.ts'

/** Raised whenever the same chunks would be put together otherwise. */
const VERSION = 1
/** As many as spec.eval.samples may ask for. */
const MAX_SAMPLES = 1000
const SIDES = ['train', 'eval'] as const

/** Beside the files of tokenizeRows: ids of the held-out rows that no judged model has seen. */
export const FRESH_FILE = 'fresh.json'

export interface SnapshotPlan {
  base: ResolvedModel
  chunks: readonly { digest: string }[]
  /** What the night trains and evaluates on, in this order. */
  rows: readonly (ChunkRow & { fresh: boolean })[]
  settings: TokenizingSettings
  /** Where training goes on from a champion: its adapter, and all training rows that will have been learned. */
  learned?: { from: string; ids: readonly string[] }
  work: NightWork
}

export interface Snapshot {
  clean: MadeArtifact<CleanSummary>
  tokenized: MadeArtifact<TokenizeSummary>
  /** Rows that this night tokenized: those of chunks that were not before. */
  tokenizedNow: number
}

/** Artifacts as the stages clean and tokenize make them, put together from chunks: only what is new is worked on. */
export async function makeSnapshot(context: StageContext, plan: SnapshotPlan): Promise<Snapshot> {
  const { chunks, rows, learned } = plan
  if (!rows.some(({ side }) => side === 'train') || !rows.some(({ side }) => side === 'eval')) {
    throw new InputError(
      `Of the ${rows.length} rows that are left after cleaning none falls to ${rows.some(({ side }) => side === 'train') ? 'evaluation; raise spec.fineTune.data.evalFraction or add rows' : 'training; add rows'}.`,
    )
  }
  const content = createHash('sha256')
  for (const { row, side, fresh } of rows) content.update(`${row.id} ${side} ${fresh}\n`)
  const inputs = {
    rows: content.digest('hex'),
    ...Object.fromEntries(chunks.map(({ digest }, index) => [`chunk/${index}`, digest])),
  }
  const clean = await runStage(
    below(context, 'clean'),
    { stage: 'clean', version: VERSION, inputs, settings: { chunks: true } },
    (outDir) => writeClean(rows, outDir),
  )
  const parts: { dir: string; summary: TokenizeSummary }[] = []
  let tokenizedNow = 0
  for (const { digest } of chunks) {
    const at = below(context, `tokens-${digest.slice(0, 12)}`)
    const made = await tokenizeChunk(
      at,
      plan.base,
      { stage: 'clean-chunk', digest },
      plan.settings,
      plan.work,
    )
    if (plan.work.isMine(made.ref.digest)) tokenizedNow += made.summary.trainRows + made.summary.evalRows
    const { dir } = await openInput(context, made.ref)
    parts.push({ dir, summary: made.summary })
  }
  const tokenized = await runStage(
    below(context, 'tokenize'),
    {
      stage: 'tokenize',
      version: VERSION,
      inputs: {
        clean: clean.ref.digest,
        model: plan.base.digest,
        ...(learned && { champion: learned.from }),
      },
      settings: plan.settings,
    },
    async (outDir) => {
      if (learned) await writeFile(join(outDir, LEARNED_FILE), JSON.stringify({ train: learned.ids }))
      return writeTokenized(parts, rows, outDir)
    },
  )
  return { clean, tokenized, tokenizedNow }
}

/** Each artifact is made in a folder of its own. */
export function below(context: StageContext, name: string): StageContext {
  return { ...context, scratchDir: join(context.scratchDir, name) }
}

async function writeClean(rows: SnapshotPlan['rows'], outDir: string): Promise<CleanSummary> {
  for (const side of SIDES) {
    const writer = openJsonlWriter(join(outDir, `${side}.jsonl`))
    for (const each of rows) if (each.side === side) await writer.write(each.row)
    await writer.close()
  }
  const of = (side: string) => rows.filter((each) => each.side === side).length
  return {
    format: 'chunks',
    read: rows.length,
    kept: rows.length,
    removed: {},
    htmlStripped: 0,
    train: of('train'),
    eval: of('eval'),
  }
}

async function writeTokenized(
  parts: readonly { dir: string; summary: TokenizeSummary }[],
  rows: SnapshotPlan['rows'],
  outDir: string,
): Promise<TokenizeSummary> {
  const wanted = new Map(rows.map((each) => [each.row.id, each]))
  const sides = { train: new RowCollector(), eval: new RowCollector() }
  const ids: Record<(typeof SIDES)[number], string[]> = { train: [], eval: [] }
  const samples: Sample[] = []
  const first = parts[0]
  if (first === undefined) throw new Error('a snapshot of no chunk')
  const { endOfTurnId } = first.summary
  const counts = { supervisedTokens: 0, supervisedEndOfTurn: 0, longest: 0 }
  for (const { dir } of parts) {
    const taken = new Set<string>()
    for (const side of SIDES) {
      const part = readNamedRows(dir, side)
      for (let at = 0; at < part.count; at++) {
        const id = part.id(at)
        if (wanted.get(id)?.side !== side) continue
        wanted.delete(id)
        taken.add(id)
        const [tokens, mask] = [part.ids(at), part.lossMask(at)]
        sides[side].add([...tokens], [...mask])
        ids[side].push(id)
        counts.longest = Math.max(counts.longest, tokens.length)
        if (side === 'eval') continue
        counts.supervisedTokens += mask.reduce((sum, one) => sum + one, 0)
        counts.supervisedEndOfTurn += tokens.filter(
          (id, index) => id === endOfTurnId && mask[index] === 1,
        ).length
      }
    }
    const questions = JSON.parse(await readFile(join(dir, 'samples.json'), 'utf8')) as Sample[]
    samples.push(...questions.filter(({ id }) => taken.has(id)))
  }
  if (sides.train.count === 0 || sides.eval.count === 0 || counts.supervisedEndOfTurn === 0) {
    throw new InputError(
      'No row, or no end of an answer, is left to learn after tokenizing; raise spec.fineTune.data.maxLength or mend the rows.',
    )
  }
  for (const side of SIDES) await writeTokenizedRows(join(outDir, `${side}.safetensors`), sides[side])
  const isFresh = new Set(rows.filter(({ fresh }) => fresh).map(({ row }) => row.id))
  const fresh = ids.eval.filter((id) => isFresh.has(id))
  await writeFile(join(outDir, 'rows.json'), JSON.stringify(ids))
  await writeFile(join(outDir, 'samples.json'), JSON.stringify(samples.slice(0, MAX_SAMPLES)))
  await writeFile(join(outDir, FRESH_FILE), JSON.stringify({ eval: fresh }))
  await writeFile(
    join(outDir, 'chat-template.jinja'),
    await readFile(join(first.dir, 'chat-template.jinja'), 'utf8'),
  )
  const droppedFor: Record<string, number> = {}
  for (const { summary } of parts) {
    for (const [why, count] of Object.entries(summary.droppedFor))
      droppedFor[why] = (droppedFor[why] ?? 0) + count
  }
  return {
    ...first.summary,
    ...counts,
    trainRows: sides.train.count,
    evalRows: sides.eval.count,
    trainTokens: sides.train.tokens,
    dropped: Object.values(droppedFor).reduce((sum, count) => sum + count, 0),
    droppedFor,
    truncated: parts.reduce((sum, { summary }) => sum + summary.truncated, 0),
  }
}
