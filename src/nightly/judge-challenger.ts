import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RowCollector } from '../data/row-collector.ts'
import type { TokenizeSummary } from '../data/tokenize-rows.ts'
import { writeTokenizedRows } from '../data/tokenized-rows.ts'
import { CorruptError } from '../errors.ts'
import { EVALUATED_ROWS_FILE } from '../eval/evaluate-task.ts'
import type { EvaluatedRow } from '../eval/evaluate-rows.ts'
import { tunedModel } from '../export/tuned-model.ts'
import { readJsonFile } from '../formats/json-file.ts'
import type { FineTuneScheduleSpec } from '../spec/fine-tune-schedule.ts'
import { childOptions } from '../stages/child-options.ts'
import { openInput } from '../stages/open-input.ts'
import { locateModel, type ResolvedModel } from '../stages/resolve-model.ts'
import { runStage } from '../stages/run-stage.ts'
import type { StageContext } from '../stages/stage-context.ts'
import { type ArtifactRef, stageDigest } from '../store/artifact.ts'
import { readNamedRows } from '../train/read-rows.ts'
import { runChild } from '../train/run-child.ts'
import type { Champion } from './champion.ts'
import { readNightState } from './night-state.ts'
import { below, FRESH_FILE } from './snapshot.ts'
import { type TokenizingSettings, tokenizingSettings } from '../stages/tokenize-artifact.ts'
import { judgeRows, type Measured, type Verdict } from './verdict.ts'

/** Raised whenever the same rows would be frozen otherwise. */
const VERSION = 1

export interface JudgeInput {
  jobId: string
  attempt: number
  base: ResolvedModel
  spec: FineTuneScheduleSpec
  tokenized: ArtifactRef
  challenger: ArtifactRef
  champion?: Champion
}

/** The frozen evaluation set: which version, and by which settings its rows were made. */
export interface EvaluationSet {
  version: number
  digest: string
  settings: string
}

export interface JudgeOutcome {
  verdict: Verdict
  evaluationSet: EvaluationSet
}

/**
 * Champion and challenger, row by row, on the frozen evaluation set and on the new held-out rows. Where nothing is published yet,
 * the base model is the champion. A judgement is an act: it is never skipped by a key.
 */
export async function judgeChallenger(context: StageContext, input: JudgeInput): Promise<JudgeOutcome> {
  const { base, spec, tokenized, challenger, champion } = input
  const rows = await openInput<TokenizeSummary>(context, tokenized)
  const evaluationSet = await frozenSet(context, input, rows.dir)
  const frozen = await openInput(context, { stage: 'evaluation-set', digest: evaluationSet.digest })
  const sets = join(context.scratchDir, 'sets')
  const outDir = join(context.scratchDir, 'judged')
  for (const folder of [sets, outDir]) await mkdir(folder, { recursive: true })
  const { eval: freshIds } = readJsonFile(join(rows.dir, FRESH_FILE)) as { eval: string[] }
  await joinSets(sets, frozen.dir, rows.dir, new Set(freshIds))
  const path = await locateModel(context, base)
  const tuned = async (ref: ArtifactRef) => tunedModel(path, (await openInput(context, ref)).dir)
  const { layout, threads } = base.training
  await runChild(
    {
      kind: 'evaluate',
      models: [
        { name: 'champion', ...(champion ? await tuned(champion.adapter) : { path }) },
        { name: 'challenger', ...(await tuned(challenger)) },
      ],
      tokenizedDir: sets,
      batchSize: 1,
      perRow: true,
      samples: 0,
      maxNewTokens: 1,
      stopTokenIds: [],
      layout,
      threads,
      outDir,
    },
    context.scratchDir,
    childOptions(context),
  )
  const evaluated = JSON.parse(await readFile(join(outDir, EVALUATED_ROWS_FILE), 'utf8')) as Record<
    'champion' | 'challenger',
    EvaluatedRow[]
  >
  const frozenIds = new Set(idsOf(frozen.dir))
  const fresh = new Set(freshIds)
  const measured = (each: readonly EvaluatedRow[]): Measured => ({
    frozen: each.filter(({ id }) => frozenIds.has(id)),
    fresh: each.filter(({ id }) => fresh.has(id)),
  })
  const verdict = judgeRows(measured(evaluated.champion), measured(evaluated.challenger), spec.gate)
  context.log({ level: 'info', message: verdict.text, fields: { wins: verdict.wins } })
  return { verdict, evaluationSet }
}

/** The set that the name's models are measured on: frozen by its first night, anew only where rows become other tokens. */
async function frozenSet(
  context: StageContext,
  { base, spec, tokenized }: JudgeInput,
  tokenizedDir: string,
): Promise<EvaluationSet> {
  const name = spec.fineTune.publish.name
  const settings = settingsDigest(base, tokenizingSettings(spec.fineTune.data))
  const before = (await readNightState(context.store, name))?.evaluationSet
  if (before?.settings === settings) return before
  const version = (before?.version ?? 0) + 1
  const made = await runStage(
    below(context, 'evaluation-set'),
    {
      stage: 'evaluation-set',
      version: VERSION,
      inputs: { tokenized: tokenized.digest },
      settings: { name, version },
    },
    async (outDir) => {
      const rows = readNamedRows(tokenizedDir, 'eval')
      await writeTokenizedRows(join(outDir, 'eval.safetensors'), rows)
      await writeFile(join(outDir, 'rows.json'), JSON.stringify({ eval: idsOf(tokenizedDir) }))
      return { rows: rows.count }
    },
  )
  return { version, digest: made.ref.digest, settings }
}

function settingsDigest(base: ResolvedModel, settings: TokenizingSettings): string {
  return stageDigest({ stage: 'evaluation-set', version: VERSION, inputs: { model: base.digest }, settings })
}

/** The frozen rows and the fresh ones that are not among them, as one set to evaluate. */
async function joinSets(
  folder: string,
  frozenDir: string,
  tokenizedDir: string,
  fresh: ReadonlySet<string>,
): Promise<void> {
  const joined = new RowCollector()
  const ids: string[] = []
  const seen = new Set<string>()
  for (const [dir, isWanted] of [
    [frozenDir, () => true],
    [tokenizedDir, (id: string) => fresh.has(id)],
  ] as const) {
    const rows = readNamedRows(dir, 'eval')
    for (let row = 0; row < rows.count; row++) {
      const id = rows.id(row)
      if (seen.has(id) || !isWanted(id)) continue
      seen.add(id)
      joined.add([...rows.ids(row)], [...rows.lossMask(row)])
      ids.push(id)
    }
  }
  await writeTokenizedRows(join(folder, 'eval.safetensors'), joined)
  await writeFile(join(folder, 'rows.json'), JSON.stringify({ eval: ids }))
}

function idsOf(dir: string): string[] {
  const ids = readJsonFile(join(dir, 'rows.json'))['eval']
  if (!Array.isArray(ids)) throw new CorruptError(`${dir}: rows.json names no evaluation rows`)
  return ids.map(String)
}
