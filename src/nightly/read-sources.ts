import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readRows } from '../data/read-rows.ts'
import { openInput } from '../stages/open-input.ts'
import { type StageRecipe, runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { findArtifact, stageDigest } from '../store/artifact.ts'
import { type NewRow, rawDigest } from './clean-chunk.ts'
import { below } from './snapshot.ts'
import type { SourceObject } from './sources.ts'

/** Raised whenever the same file would give other digests. */
const VERSION = 1
const ROWS_FILE = 'rows.json'
const ROWS_PER_REPORT = 1024

export interface SourceRows {
  /** Digests of all rows that the sources hold. */
  present: Set<string>
  /** The rows that were not known, each once. */
  unseen: NewRow[]
  /** Files that were read: those that changed, or hold rows that nobody has cleaned. */
  filesRead: number
}

/**
 * What the sources hold, by the digest of each row. A file (a partition's too) that is as it was, and whose rows are all
 * `known`, is not read: which rows it holds is remembered beside its identity.
 */
export async function readSources(
  context: StageContext,
  objects: readonly SourceObject[],
  known: ReadonlySet<string>,
): Promise<SourceRows> {
  const rows: SourceRows = { present: new Set(), unseen: [], filesRead: 0 }
  for (const [index, object] of objects.entries()) {
    const recipe: StageRecipe = {
      stage: 'source-rows',
      version: VERSION,
      inputs: { [object.name]: object.identity },
      settings: {},
    }
    const remembered = await rememberedRows(context, recipe)
    if (remembered?.every((raw) => known.has(raw))) {
      for (const raw of remembered) rows.present.add(raw)
      continue
    }
    rows.filesRead++
    const digests = await readFileRows(below(context, `source-${index}`), object, known, rows)
    await runStage(below(context, `source-rows-${index}`), recipe, async (outDir) => {
      await writeFile(join(outDir, ROWS_FILE), JSON.stringify([...digests]))
      return { rows: digests.size }
    })
  }
  return rows
}

async function rememberedRows(context: StageContext, recipe: StageRecipe): Promise<string[] | undefined> {
  const ref = { stage: recipe.stage, digest: stageDigest(recipe) }
  if ((await findArtifact(context.store, ref)) === undefined) return undefined
  const { dir } = await openInput(context, ref)
  return JSON.parse(await readFile(join(dir, ROWS_FILE), 'utf8')) as string[] // of our own writing
}

async function readFileRows(
  context: StageContext,
  object: SourceObject,
  known: ReadonlySet<string>,
  { present, unseen }: SourceRows,
): Promise<Set<string>> {
  const digests = new Set<string>()
  await mkdir(context.scratchDir, { recursive: true })
  const path = await object.fetch(context.scratchDir)
  for await (const row of readRows({ name: object.name, path }, isPartOfTable(object.name))) {
    const raw = rawDigest(row.value)
    if (!present.has(raw) && !known.has(raw)) unseen.push({ raw, file: object.name, row })
    present.add(raw)
    digests.add(raw)
    if (present.size % ROWS_PER_REPORT !== 0) continue
    context.signal.throwIfAborted()
    context.progress({ phase: 'row', done: present.size })
  }
  return digests
}

/** Who writes a table in partitions writes empty parts, too. */
function isPartOfTable(name: string): boolean {
  return name.endsWith('.parquet')
}
