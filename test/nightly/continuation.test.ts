import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { InputError, StoppedError } from '../../src/errors.ts'
import { championOf } from '../../src/nightly/champion.ts'
import { concludeNight } from '../../src/nightly/conclude-night.ts'
import { chooseRows } from '../../src/nightly/continuation.ts'
import { lookForRows } from '../../src/nightly/look-for-rows.ts'
import { readNightState } from '../../src/nightly/night-state.ts'
import { parseFineTuneSchedule } from '../../src/spec/parse-fine-tune-schedule.ts'
import { openInput } from '../../src/stages/open-input.ts'
import { resolveModel } from '../../src/stages/resolve-model.ts'
import { train } from '../../src/stages/train.ts'
import type { ArtifactRef } from '../../src/store/artifact.ts'
import { publishVersion } from '../../src/store/model-registry.ts'
import { monotonicClock } from '../../src/train/clock.ts'
import { readNamedRows } from '../../src/train/read-rows.ts'
import { trainStage } from '../../src/train/train-stage.ts'
import { stageContext } from '../support/stage-context.ts'
import { writeTinyModel } from '../support/tiny-model.ts'

// Nights that go on from the published adapter instead of the base model.

const NAME = 'further'
const AT = '2026-11-22T02:00:00.000Z'

const reference = (digest: string): ArtifactRef => ({ stage: 'x', digest })
const champion = (digest: string) => ({
  version: 1,
  adapter: reference(digest),
  tokenized: reference('t'),
  base: { digest: 'b' },
})

test('old rows are replayed by their hash: the same on every attempt, others for another champion', () => {
  const rows = Array.from({ length: 2000 }, (_, i) => ({
    row: {
      id: createHash('sha256').update(`${i}`).digest('hex').slice(0, 16),
      at: '',
      prompt: '',
      completion: '',
    },
    side: i % 10 === 0 ? ('eval' as const) : ('train' as const),
  }))
  const learned = new Set(rows.slice(0, 1000).map(({ row }) => row.id))
  const choose = (digest: string, replayFraction: number) =>
    chooseRows(rows, learned, { champion: champion(digest), replayFraction })
  const { rows: chosen, replayed, unlearned } = choose('a', 0.25)
  assert.equal(unlearned, 900)
  assert(replayed > 180 && replayed < 270, `${replayed} of 900`)
  assert.equal(chosen.length, 200 + unlearned + replayed, 'all evaluation rows stay')
  assert.deepEqual(choose('a', 0.25), choose('a', 0.25))
  assert.notDeepEqual(choose('b', 0.25).rows, chosen)
  assert.deepEqual([choose('a', 0).replayed, choose('a', 1).replayed], [0, 900])
})

describe('a night that goes on from the champion', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'temper-further-'))
    await mkdir(join(folder, 'rows'))
    await writeTinyModel(join(folder, 'model'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  async function put(name: string, from: number, to: number): Promise<void> {
    const lines = Array.from({ length: to - from }, (_, i) =>
      JSON.stringify({ prompt: `What is ${from + i} plus one?`, completion: `It is ${from + i + 1}.` }),
    )
    await writeFile(join(folder, 'rows', name), lines.join('\n'))
  }

  async function look(night: string, changes: object = {}, from = 'champion') {
    const { spec } = parseFineTuneSchedule(
      {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTuneSchedule',
        metadata: { name: NAME },
        spec: {
          schedule: { cron: '0 2 * * *' },
          start: { from, replayFraction: 0.5 },
          fineTune: {
            model: { source: join(folder, 'model') },
            data: { train: [join(folder, 'rows')], evalFraction: 0.2, maxLength: 128 },
            train: { r: 4, loraAlpha: 8, maxSteps: 6, threads: 1, learningRate: 1e-2, ...changes },
          },
        },
      },
      'the test',
    )
    const context = await stageContext(folder)
    const { model, train, data } = spec.fineTune
    const input = { jobId: night, attempt: 1 }
    const { summary: base } = await resolveModel(context, {
      ...input,
      model,
      train,
      maxLength: data.maxLength,
    })
    return { base, look: await lookForRows(await stageContext(folder), { ...input, base, spec, at: AT }) }
  }

  const idsOf = async (tokenized: ArtifactRef, side: 'train' | 'eval' = 'train') => {
    const { dir } = await openInput(await stageContext(folder), tokenized)
    const rows = readNamedRows(dir, side)
    return Array.from({ length: rows.count }, (_, row) => rows.id(row))
  }
  const adapterBytes = (dir: string) => readFile(join(dir, 'adapter_model.safetensors'))

  test('takes the rows that it has not learned and a share of the old ones, and remembers both', async () => {
    await put('a.jsonl', 0, 60)
    const first = await look('night-1')
    assert.equal(first.look.continues, undefined, 'nothing is published: it begins at the base')
    const tokenized = first.look.snapshot?.tokenized.ref as ArtifactRef
    const adapter = await train(await stageContext(folder), {
      jobId: 'night-1',
      attempt: 1,
      base: first.base,
      tokenized,
    })
    const { store, attemptName } = await stageContext(folder)
    await publishVersion(store, NAME, {
      contentKey: 'night-1',
      attempt: attemptName,
      folder: join(folder, 'model'),
      summary: {
        base: { source: first.base.source, digest: first.base.digest },
        artifacts: { adapter: adapter.ref, tokenized },
      },
    })
    await concludeNight(await stageContext(folder), {
      jobId: 'night-1',
      attempt: 1,
      record: { name: NAME, schedule: NAME, at: AT, night: 'run-1', end: 'published', why: 'better' },
      judged: { chunks: 1, evaluationSet: { version: 1, digest: 'e', settings: 's' } },
    })

    await put('b.jsonl', 60, 80)
    const second = await look('night-2')
    const { counts, snapshot, continues } = second.look
    assert.equal(continues, true)
    const old = new Set(await idsOf(tokenized))
    const taught = await idsOf(snapshot?.tokenized.ref as ArtifactRef)
    const replayed = taught.filter((id) => old.has(id)).length
    assert.equal(counts.replayed, replayed)
    assert(replayed > 0 && replayed < old.size, `${replayed} of ${old.size}`)
    assert.equal(counts.tokenized, 20, 'replayed rows are tokens already')
    const evaluated = await idsOf(snapshot?.tokenized.ref as ArtifactRef, 'eval')
    assert.equal(old.size + (taught.length - replayed) + evaluated.length, 80)
    const { dir } = await openInput(await stageContext(folder), snapshot?.tokenized.ref as ArtifactRef)
    const learned = JSON.parse(await readFile(join(dir, 'learned.json'), 'utf8')) as { train: string[] }
    assert.deepEqual(new Set(learned.train), new Set([...old, ...taught]))
  })

  test('begins with its very numbers, and killed on the way ends with the same bits', async () => {
    const { base, look: seen } = await look('night-3')
    const published = await championOf((await stageContext(folder)).store, NAME)
    assert(published)
    const { dir: continueFrom } = await openInput(await stageContext(folder), published.adapter)
    const { dir: tokenizedDir } = await openInput(
      await stageContext(folder),
      seen.snapshot?.tokenized.ref as ArtifactRef,
    )
    const attempt = async (jobId: string, settings: object, stopAt?: number) => {
      const context = await stageContext(folder)
      const outDir = join(context.scratchDir, 'out')
      await mkdir(outDir)
      const stop = new AbortController()
      await trainStage(
        {
          modelPath: join(folder, 'model'),
          origin: { baseModel: 'base' },
          tokenizedDir,
          settings: {
            ...base.training,
            checkpoint: { everySteps: 1, everySeconds: 60, keepLast: 2 },
            ...settings,
          },
          continueFrom,
          store: context.store,
          jobId,
          digest: 'd'.repeat(64),
          attempt: context.attemptName,
          scratchDir: context.scratchDir,
          outDir,
        },
        {
          signal: stop.signal,
          clock: monotonicClock,
          onCheckpoint: ({ step }) => {
            if (stopAt !== undefined && step >= stopAt) stop.abort('the test')
          },
        },
      )
      return adapterBytes(outDir)
    }
    const before = await adapterBytes(continueFrom)
    assert.deepEqual(await attempt('rehearsal', { maxSteps: 0 }), before, 'no step: the champion itself')
    const undisturbed = await attempt('undisturbed', { maxSteps: 80 })
    assert.notDeepEqual(undisturbed, before)
    await assert.rejects(attempt('killed', { maxSteps: 80 }, 2), (error) => error instanceof StoppedError)
    assert.deepEqual(await attempt('killed', { maxSteps: 80 }), undisturbed)
  })

  test('is refused before anything is read where the adapter has another shape', async () => {
    const { store } = await stageContext(folder)
    await put('c.jsonl', 80, 90)
    const before = await readNightState(store, NAME)
    for (const [changes, message] of [
      [
        { method: 'full', r: undefined, loraAlpha: undefined },
        /^spec\.fineTune\.train\.method is full, but version 1, .* is an adapter; write lora, or set spec\.start\.from to base/,
      ],
      [
        { r: 8 },
        /^spec\.fineTune\.train\.r is 8, but .* has 4; write that, or set spec\.start\.from to base/,
      ],
      [{ targetModules: ['q_proj'] }, /targetModules is q_proj, but .* has down_proj, gate_proj/],
      [{ useRslora: true }, /useRslora is true/],
    ] as const)
      await assert.rejects(look('night-4', changes), (error: Error) => {
        assert(error instanceof InputError)
        assert.match(error.message, message)
        return true
      })
    assert.deepEqual(await readNightState(store, NAME), before)
    const { look: fromBase } = await look('night-5', { r: 8 }, 'base')
    assert.equal(fromBase.continues, undefined)
  })
})
