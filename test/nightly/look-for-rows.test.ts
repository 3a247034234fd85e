import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { concludeNight } from '../../src/nightly/conclude-night.ts'
import { lookForRows, type LookOutcome } from '../../src/nightly/look-for-rows.ts'
import { readNightState } from '../../src/nightly/night-state.ts'
import { parseFineTuneSchedule } from '../../src/spec/parse-fine-tune-schedule.ts'
import { resolveModel } from '../../src/stages/resolve-model.ts'
import { stageContext } from '../support/stage-context.ts'
import { writeTinyModel } from '../support/tiny-model.ts'

// What a night sees, counts and remembers, over sources in a folder.

const TABLE = join(import.meta.dirname, '../fixtures/parquet/table')
const AT = '2026-11-22T02:00:00.000Z'

describe('a night looks', () => {
  let folder: string
  let rows: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'temper-look-'))
    rows = join(folder, 'rows')
    await mkdir(rows)
    await writeTinyModel(join(folder, 'model'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const put = async (name: string, from: number, to: number): Promise<void> => {
    const lines = Array.from({ length: to - from }, (_, i) =>
      JSON.stringify({ prompt: `What is ${from + i} plus one?`, completion: `It is ${from + i + 1}.` }),
    )
    await writeFile(join(rows, name), `${lines.join('\n')}\n`)
  }

  async function look(night: string, source = rows): Promise<LookOutcome> {
    const { spec } = parseFineTuneSchedule(
      {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTuneSchedule',
        metadata: { name: source === rows ? 'look' : 'table' },
        spec: {
          schedule: { cron: '0 2 * * *' },
          fineTune: {
            model: { source: join(folder, 'model') },
            data: { train: [source], evalFraction: 0.3, maxLength: 128 },
          },
        },
      },
      'the test',
    )
    const { model, train, data } = spec.fineTune
    const input = { jobId: night, attempt: 1 }
    const context = await stageContext(folder)
    const { summary: base } = await resolveModel(context, {
      ...input,
      model,
      train,
      maxLength: data.maxLength,
    })
    return lookForRows(context, { ...input, base, spec, at: AT })
  }

  test('an attempt that comes after a lost one counts what that one has cleaned and tokenized', async () => {
    await put('a.jsonl', 0, 40)
    const first = await look('night-1')
    assert.deepEqual([first.counts.cleaned, first.counts.tokenized], [40, 40])
    const again = await look('night-1')
    assert.deepEqual(
      { ...again.counts, filesRead: first.counts.filesRead },
      first.counts,
      'its answer was lost, its work was not',
    )
    assert.deepEqual(again.snapshot?.tokenized.ref, first.snapshot?.tokenized.ref)
    const { counts } = await look('night-2')
    assert.deepEqual(
      [counts.cleaned, counts.tokenized, counts.fresh],
      [0, 0, 40],
      'another night has nothing to do',
    )
  })

  test('a file is read once: again only where it changed', async () => {
    await put('b.jsonl', 30, 60)
    const { counts } = await look('night-3')
    assert.deepEqual(
      [counts.files, counts.filesRead, counts.read, counts.cleaned, counts.tokenized],
      [2, 1, 60, 20, 20],
    )
    const same = await look('night-4')
    assert.deepEqual([same.counts.filesRead, same.counts.read, same.counts.cleaned], [0, 60, 0])
    await put('a.jsonl', 0, 45)
    const changed = await look('night-5')
    assert.deepEqual([changed.counts.filesRead, changed.counts.read, changed.counts.cleaned], [1, 60, 0])
  })

  test('a file with a bad row is refused by its place, and nothing moves', async () => {
    const context = await stageContext(folder)
    const before = await readNightState(context.store, 'look')
    await writeFile(join(rows, 'c.jsonl'), '{"prompt": "cut o')
    await assert.rejects(look('night-bad'), /c\.jsonl:1: the last line is cut off/)
    assert.deepEqual(await readNightState(context.store, 'look'), before)
    await rm(join(rows, 'c.jsonl'))
  })

  test('a table in partitions: only the new partition is read, cleaned and tokenized', async () => {
    const table = join(folder, 'table')
    const partition = (day: string) =>
      cp(join(TABLE, `day=${day}`), join(table, `day=${day}`), { recursive: true })
    await partition('2026-11-20')
    await writeFile(join(table, '_SUCCESS'), '')
    const first = await look('day-1', table)
    assert.deepEqual([first.counts.files, first.counts.read, first.counts.cleaned], [1, 30, 30])
    await partition('2026-11-21')
    const { counts } = await look('day-2', table)
    assert.deepEqual(
      { ...counts },
      { files: 3, filesRead: 2, read: 45, cleaned: 15, tokenized: 15, fresh: 45, vanished: 0 },
    )
    await rm(join(table, 'day=2026-11-20'), { recursive: true })
    const shrunk = await look('day-3', table)
    assert.deepEqual(
      [shrunk.decision.why, shrunk.counts.vanished],
      ['shrunk', 30],
      'a partition that is gone',
    )
  })

  test('a failed night says so in the record of the next', async () => {
    const record = { name: 'look', schedule: 'look', at: AT, night: 'run-6' }
    const context = await stageContext(folder)
    await concludeNight(context, {
      jobId: 'night-6',
      attempt: 1,
      record: { ...record, end: 'failed', why: 'the source did not answer' },
    })
    const { recovered } = await concludeNight(context, {
      jobId: 'night-7',
      attempt: 1,
      record: { ...record, night: 'run-7', end: 'skipped', why: 'Nothing is new.' },
    })
    assert.equal(recovered, true)
  })
})
