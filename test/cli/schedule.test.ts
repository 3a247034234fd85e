import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { type HistoryRecord, listRecords, type NightRecord } from '../../src/nightly/night-record.ts'
import { openStore } from '../../src/store/open-store.ts'
import {
  type CommandEnd,
  type RunningCommand,
  type TemperFolder,
  temperFolder,
} from '../support/temper-cli.ts'
import { startTemporal, type TestTemporal } from '../support/temporal.ts'

// A schedule as its owner drives it from a terminal, every command a process of its own.

interface Changes {
  schedule?: object
  gate?: object
  data?: object
  publish?: object
  spec?: object
}

interface History {
  current?: number
  versions: number[]
  history: HistoryRecord[]
}

describe('temper schedule, history and rollback', { timeout: 600_000 }, () => {
  let folder: TemperFolder
  let temporal: TestTemporal
  let up: RunningCommand | undefined

  before(async () => {
    temporal = await startTemporal()
    folder = await temperFolder({ TEMPORAL_ADDRESS: temporal.address })
    mkdirSync(join(folder.root, 'rows'))
    put('a.jsonl', 0, 40)
  })
  after(async () => {
    up?.child.kill('SIGTERM')
    await up?.ended
    folder.remove()
    await temporal.stop()
  })

  function put(name: string, from: number, to: number): void {
    const lines = Array.from({ length: to - from }, (_, i) =>
      JSON.stringify({ prompt: `What is ${from + i} plus one?`, completion: `It is ${from + i + 1}.` }),
    )
    writeFileSync(join(folder.root, 'rows', name), `${lines.join('\n')}\n`)
  }

  function document(name: string, { schedule, gate, data, publish, spec }: Changes = {}): string {
    const file = `${name}.yaml`
    const fineTune = {
      model: { source: 'model' },
      data: { train: ['rows'], evalFraction: 0.3, maxLength: 128, ...data },
      train: { r: 4, maxSteps: 10, threads: 1, learningRate: 1e-3 },
      eval: { samples: 0 },
      quantize: { formats: [] },
      ...(publish && { publish }),
    }
    writeFileSync(
      join(folder.root, file),
      stringify({
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTuneSchedule',
        metadata: { name },
        spec: {
          schedule: { cron: '0 2 * * *', ...schedule },
          // Wide enough that every night publishes: what is looked at here is the commands.
          gate: { margin: -100, ...gate },
          fineTune,
          ...spec,
        },
      }),
    )
    return file
  }

  const schedule = (...args: string[]): Promise<CommandEnd> => folder.temper('schedule', ...args)
  async function json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await folder.temper(...args, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as T
  }
  /** The record of the next night, once it is there. */
  async function nextNight(begin: () => Promise<CommandEnd>): Promise<NightRecord> {
    const store = await openStore(pathToFileURL(join(folder.state, 'store')).href)
    const before = await listRecords(store, 'support')
    const { code, stderr } = await begin()
    assert.equal(code, 0, stderr)
    for (let waited = 0; waited < 120; waited++) {
      const records = await listRecords(store, 'support')
      if (records.length > before.length) return records.at(-1) as NightRecord
      await sleep(500)
    }
    throw new Error(`no night: ${up?.said()}`)
  }

  const refusals: [string, () => string[], RegExp][] = [
    [
      'a cron line that never fires',
      () => ['create', document('bad', { schedule: { cron: '0 2 30 2 *' } })],
      /spec\.schedule\.cron: never fires: no day from now on is in all of its fields; mend its day, month or year/,
    ],
    [
      'a time zone that nobody knows',
      () => ['create', document('bad', { schedule: { timeZone: 'Europe/Zuerich' } })],
      /spec\.schedule\.timeZone: must be a time zone of the IANA list, such as Europe\/Zurich or UTC/,
    ],
    [
      'a gate on a metric that evaluation does not produce',
      () => ['create', document('bad', { gate: { metric: 'bleu' } })],
      /spec\.gate\.metric: .*loss.*perplexity.*tokenAccuracy/,
    ],
    [
      'a source that is not there',
      () => ['create', document('bad', { data: { train: ['nowhere'] } })],
      /nowhere: is not there; check spec\.fineTune\.data\.train/,
    ],
    [
      'a file that is not there',
      () => ['create', 'nowhere.yaml'],
      /nowhere\.yaml: there is no such file; give the path of a FineTuneSchedule document/,
    ],
    [
      'a schedule that is not there',
      () => ['trigger', 'nobody'],
      /There is no schedule nobody: temper schedule list/,
    ],
    [
      'a span that ends before it begins',
      () => ['backfill', 'support', '--from', '2026-11-03T00:00:00Z', '--to', '2026-11-01T00:00:00Z'],
      /--to: lies before --from/,
    ],
  ]
  for (const [what, args, message] of refusals)
    test(`refuses ${what}, in one sentence and before anything starts`, async () => {
      const { code, stdout, stderr } = await schedule(...args())
      assert.equal(code, 2, stdout)
      assert.match(stderr, message)
      assert(!/\n\s+at /.test(stderr), stderr)
    })

  test('create, list, describe; a second one may not publish the same name', async () => {
    assert.deepEqual(await json('schedule', 'list'), { schedules: [] })
    const { code, stdout, stderr } = await schedule('create', document('support'))
    assert.equal(code, 0, stderr)
    assert.match(stdout, /Schedule support retrains support: 0 2 \* \* \*, UTC\./)
    const twin = await schedule('create', document('twin', { publish: { name: 'support' } }))
    assert.equal(twin.code, 2)
    assert.match(
      twin.stderr,
      /support is published by the schedule support: give spec\.fineTune\.publish\.name another/,
    )
    const again = await schedule('create', 'support.yaml')
    assert.equal(again.code, 2)
    assert.match(
      again.stderr,
      /There is a schedule support already: delete it first \(temper schedule delete support\)/,
    )
    const { schedules } = await json<{ schedules: { name: string; next: string }[] }>('schedule', 'list')
    assert.deepEqual(
      schedules.map(({ name, next }) => [name, next.slice(10)]),
      [['support', 'T02:00:00.000Z']],
    )
    assert.match((await schedule('describe', 'support')).stdout, /^support retrains support: next 20/)
  })

  test('pause and resume', async () => {
    assert.equal((await schedule('pause', 'support', '--note', 'bad export')).code, 0)
    assert.match((await schedule('describe', 'support')).stdout, /paused \(bad export\)/)
    assert.equal((await schedule('resume', 'support')).code, 0)
    assert.match((await schedule('describe', 'support')).stdout, /next 20/)
  })

  test('trigger and backfill run nights; history says what they did', async () => {
    up = folder.start('up')
    const first = await nextNight(() => schedule('trigger', 'support'))
    assert.deepEqual([first.end, first.version, first.rows?.cleaned], ['published', 1, 40], first.why)
    put('b.jsonl', 40, 60)
    const second = await nextNight(() =>
      schedule('backfill', 'support', '--from', '2026-01-10T01:00:00Z', '--to', '2026-01-10T03:00:00Z'),
    )
    assert.deepEqual([second.end, second.version, second.rows?.cleaned], ['published', 2, 20], second.why)
    const { stdout } = await folder.temper('history', 'support')
    assert.match(stdout, /^support: version 2 of 1, 2\n/)
    assert.match(
      stdout,
      /published {3}version 1 {2}40 rows, 40 new, 40 cleaned {2}loss .* → .* on \d+ frozen rows/,
    )
  })

  test('rollback moves the name back, and says so; a version that is not there is refused', async () => {
    const { code, stdout } = await folder.temper('rollback', 'support')
    assert.equal(code, 0)
    assert.match(stdout, /support stands for version 1 now; before, it stood for version 2/)
    for (const [args, message] of [
      [['support', '9'], /support has no version 9; there are 1, 2/],
      [['support', '1'], /support stands for version 1 already/],
      [['support'], /support: version 1 is the first, there is none before it/],
      [['nobody'], /nobody: nothing is published under this name/],
      [['support', 'x'], /a version is a whole number from 1 on/],
    ] as const) {
      const refused = await folder.temper('rollback', ...args)
      assert.equal(refused.code, 2)
      assert.match(refused.stderr, message)
    }
    const { current, history } = await json<History>('history', 'support')
    assert.equal(current, 1)
    assert.equal(history.at(-1)?.end, 'rolledBack')
  })

  test('a source that vanishes fails the night with its name; the published model stays', async () => {
    const kept = readFileSync(join(folder.root, 'rows', 'a.jsonl'), 'utf8')
    rmSync(join(folder.root, 'rows'), { recursive: true })
    const lost = await nextNight(() => schedule('trigger', 'support'))
    assert.equal(lost.end, 'failed')
    assert.match(lost.why, /rows: is not there; check spec\.fineTune\.data\.train/)
    mkdirSync(join(folder.root, 'rows'))
    writeFileSync(join(folder.root, 'rows', 'a.jsonl'), kept)
    put('b.jsonl', 40, 60)
    const found = await nextNight(() => schedule('trigger', 'support'))
    assert.deepEqual([found.end, found.decision, found.recovered], ['skipped', 'nothingNew', true])
    assert.equal((await json<History>('history', 'support')).current, 1)
  })

  test('delete: the schedule goes, its model and history stay', async () => {
    assert.equal((await schedule('delete', 'support')).code, 0)
    assert.deepEqual(await json('schedule', 'list'), { schedules: [] })
    assert.equal((await json<History>('history', 'support')).history.length, 5)
    assert.equal((await schedule('describe', 'support')).code, 2)
  })
})
