import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import { NativeConnection, Worker } from '@temporalio/worker'
import { createActivities } from '../../activities/create-activities.ts'
import { createSchedule, deleteSchedule, findSchedule, triggerSchedule } from '../../jobs/schedules.ts'
import { downloadCache } from '../../src/local/state-folder.ts'
import { listRecords, type NightRecord } from '../../src/nightly/night-record.ts'
import { readNightState } from '../../src/nightly/night-state.ts'
import { rollback } from '../../src/nightly/rollback.ts'
import { parseFineTuneSchedule } from '../../src/spec/parse-fine-tune-schedule.ts'
import { currentVersion, listVersions } from '../../src/store/model-registry.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { workflowBundle } from '../../worker/workflow-bundle.ts'
import { CONTROL_QUEUE, CPU_TRAINING_QUEUE } from '../../workflows/queues.ts'
import { type SeaweedFs, seaweedFsMissing, startSeaweedFs } from '../support/seaweedfs.ts'
import { startTestWorker, type TestWorker } from '../support/test-worker.ts'
import { writeTinyModel } from '../support/tiny-model.ts'

// A name's nights as its owner lives through them, on a real Temporal server and a real S3 server, with the real stages.

const NAME = 'support'
const SECRET = Buffer.from('a secret of the receiver').toString('base64')

const goodRows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({
    instruction: `What is ${from + i} plus one?`,
    output: `It is ${from + i + 1}.`,
  }))
/** Answers that no question leads to: many of them unteach what was learnt. */
const badRows = Array.from({ length: 300 }, (_, i) => ({
  instruction: `What is ${i} minus one?`,
  output: `${'#@!ZQX'.repeat(2)}${(i * 7919) % 1000}`,
}))
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

describe('nights of a growing source', { timeout: 600_000, skip: await seaweedFsMissing() }, () => {
  let s3: SeaweedFs
  let store: Store
  let source: Store
  let worker: TestWorker
  let training: { stop(): Promise<void> }
  let receiver: Server
  let folder: string
  const told: { id: string; type: string; event: string; isSigned: boolean }[] = []
  const silent: Server[] = []

  before(async () => {
    s3 = await startSeaweedFs()
    Object.assign(process.env, {
      AWS_ENDPOINT_URL_S3: s3.endpoint,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      AWS_REGION: 'us-east-1',
    })
    for (const bucket of ['temper', 'rows']) await s3.createBucket(bucket)
    store = await openStore('s3://temper/all')
    source = await openStore('s3://rows')
    folder = await mkdtemp(join(tmpdir(), 'temper-nights-'))
    await writeTinyModel(join(folder, 'model'))
    receiver = await listen((body, headers) => {
      const { id, type, data } = JSON.parse(body) as { id: string; type: string; data: { event: string } }
      const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`
      const expected = createHmac('sha256', Buffer.from(SECRET, 'base64')).update(signed).digest('base64')
      const isSigned = headers['webhook-signature'] === `v1,${expected}` && headers['webhook-id'] === id
      told.push({ id, type, event: data.event, isSigned })
    })
    silent.push(await listen(undefined))
    const activities = createActivities({
      store,
      scratchRoot: join(folder, 'scratch'),
      artifactCache: join(folder, 'artifacts'),
      downloadCache: downloadCache(process.env),
      environment: { TEMPER_WEBHOOK_HOSTS: '127.0.0.1', NIGHT_SECRET: `whsec_${SECRET}` },
    })
    worker = await startTestWorker(CONTROL_QUEUE, activities)
    training = await startTraining(worker.temporal.address, activities)
  })
  after(async () => {
    await training?.stop()
    await worker?.stop()
    for (const server of [receiver, ...silent]) {
      server?.closeAllConnections()
      server?.close()
    }
    await s3?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const document = (name: string, changes: { cron?: string; minNewRows?: number; publish?: string } = {}) =>
    parseFineTuneSchedule(
      {
        apiVersion: 'temper.dev/v1alpha1',
        kind: 'FineTuneSchedule',
        metadata: { name },
        spec: {
          schedule: { cron: changes.cron ?? '0 2 * * *', timeZone: 'Europe/Zurich' },
          newData: { minNewRows: changes.minNewRows ?? 5 },
          gate: { metric: 'loss', margin: -0.1 },
          notifications: [
            {
              url: addressOf(receiver),
              secretVariable: 'NIGHT_SECRET',
              on: ['published', 'kept', 'skipped', 'failed', 'recovered'],
            },
            ...silent.map((server) => ({ url: addressOf(server) })),
          ],
          fineTune: {
            model: { source: join(folder, 'model') },
            data: { train: ['s3://rows/support/'], evalFraction: 0.2, maxLength: 128 },
            train: { r: 4, loraAlpha: 8, learningRate: 1e-2, maxSteps: 40, threads: 1 },
            eval: { samples: 0, batchSize: 16 },
            quantize: { formats: [] },
            publish: { name: changes.publish ?? name },
          },
        },
      },
      'the test',
    )
  const session = () => ({ client: worker.client, store, searchAttributes: false })
  const start = (name: string, changes = {}) =>
    createSchedule(session(), { ...document(name, changes), heartbeatSeconds: 10 })

  async function put(name: string, rows: readonly object[] | string): Promise<void> {
    const text = typeof rows === 'string' ? rows : jsonl(rows)
    await source.write(`support/${name}`, text, { kind: 'overwrite' })
  }

  /** Runs one night to its end. */
  async function night(begin: 'trigger' | 'backfill' = 'trigger'): Promise<NightRecord> {
    const nights = (await listRecords(store, NAME)).length
    const { handle } = await findSchedule(session(), NAME)
    if (begin === 'trigger') await triggerSchedule(session(), NAME)
    else {
      // A span that holds one night at two o'clock.
      const [start, end] = [new Date('2026-01-10T00:30:00Z'), new Date('2026-01-10T02:30:00Z')]
      await handle.backfill({ start, end, overlap: 'BUFFER_ALL' })
    }
    for (;;) {
      const records = await listRecords(store, NAME)
      const { info } = await handle.describe()
      if (records.length > nights && info.runningActions.length === 0) return records.at(-1) as NightRecord
      await sleep(100)
    }
  }

  test('the first night publishes what beats the base model', async () => {
    await put('a.jsonl', goodRows(0, 80))
    await start(NAME)
    const record = await night()
    assert.equal(record.end, 'published', record.why)
    assert.equal(record.version, 1)
    assert.equal(record.champion, undefined)
    assert.deepEqual(record.rows, {
      files: 1,
      filesRead: 1,
      read: 80,
      cleaned: 80,
      tokenized: 80,
      fresh: 80,
      vanished: 0,
    })
    assert.equal(record.evaluationSet, 1)
    assert(record.verdict && record.verdict.frozen.interval.low > 0, record.why)
  })

  test('it stays: skipped, without a row read (a backfilled night)', async () => {
    const record = await night('backfill')
    assert.deepEqual([record.end, record.decision], ['skipped', 'nothingNew'])
    assert.equal(record.rows?.read, 0)
  })

  test('it grows by duplicates only: nothing is cleaned', async () => {
    await put('b.jsonl', goodRows(10, 50))
    const record = await night()
    assert.deepEqual([record.end, record.decision], ['skipped', 'nothingNew'])
    assert.deepEqual(record.rows, {
      files: 2,
      filesRead: 1,
      read: 80,
      cleaned: 0,
      tokenized: 0,
      fresh: 0,
      vanished: 0,
    })
  })

  test('it grows: only the new rows are cleaned and tokenized', async () => {
    await put('c.jsonl', goodRows(75, 110))
    const record = await night()
    assert.deepEqual(record.rows, {
      files: 3,
      filesRead: 1,
      read: 110,
      cleaned: 30,
      tokenized: 30,
      fresh: 30,
      vanished: 0,
    })
    assert.equal(record.end, 'published', record.why)
    assert.equal(record.champion, 1)
    assert.equal(record.evaluationSet, 1, 'the frozen set')
    const frozen = record.verdict?.frozen.rows ?? 0
    const first = (await listRecords(store, NAME))[0] as NightRecord
    assert.equal(frozen, first.verdict?.frozen.rows)
    assert(record.verdict?.fresh, 'new held-out rows are measured as well')
  })

  test('it shrinks: nothing is trained until the rows are back', async () => {
    await put('c.jsonl', goodRows(75, 90))
    const record = await night()
    assert.deepEqual([record.end, record.decision, record.rows?.vanished], ['skipped', 'shrunk', 20])
    await put('c.jsonl', goodRows(75, 110))
  })

  test('it breaks: the night fails, and moves neither champion nor watermark', async () => {
    const before = await readNightState(store, NAME)
    await put('d.jsonl', `${jsonl(goodRows(110, 120))}{"instruction": "cut o`)
    const record = await night()
    assert.equal(record.end, 'failed')
    assert.match(record.why, /s3:\/\/rows\/support\/d\.jsonl:11: the last line is cut off/)
    assert.deepEqual(await readNightState(store, NAME), { ...before, failing: true })
    assert.equal((await currentVersion(store, NAME))?.version, 2)
  })

  test("it recovers: the next night takes both nights' rows", async () => {
    await put('d.jsonl', goodRows(110, 120))
    await put('e.jsonl', goodRows(120, 130))
    const record = await night()
    assert.deepEqual(record.rows, {
      files: 5,
      filesRead: 2,
      read: 130,
      cleaned: 20,
      tokenized: 20,
      fresh: 20,
      vanished: 0,
    })
    assert.equal(record.recovered, true)
    assert.equal(record.end, 'published', record.why)
  })

  test('it brings rows that make the model worse: the challenger is kept back, with the reason', async () => {
    await put('f.jsonl', badRows)
    const record = await night()
    assert.equal(record.end, 'kept', record.why)
    assert.equal(record.champion, 3)
    assert.equal(record.version, undefined)
    assert(record.verdict && record.verdict.frozen.interval.low < -0.1)
    assert.equal((await currentVersion(store, NAME))?.version, 3, 'the name stands')
    assert.equal((await listVersions(store, NAME)).length, 3)
    const next = await night()
    assert.equal(next.decision, 'nothingNew', 'they were judged: they are not tried every night')
  })

  test('no row was cleaned twice', async () => {
    const nights = (await listRecords(store, NAME)) as NightRecord[]
    const cleaned = nights.reduce((sum, { rows }) => sum + (rows?.cleaned ?? 0), 0)
    assert.equal(cleaned, 130 + badRows.length)
  })

  test('every end was told, signed, under an id of its own; a receiver that never answers held nothing up', async () => {
    const nights = (await listRecords(store, NAME)) as NightRecord[]
    const expected = [...nights.map(({ end }) => end), 'recovered'].sort()
    // At least once: what is told again has the same id.
    const events = () => [...new Map(told.map(({ id, event }) => [id, event])).values()]
    for (let waited = 0; events().length < expected.length && waited < 60_000; waited += 50) await sleep(50)
    assert.deepEqual(events().sort(), expected)
    assert(told.every(({ isSigned }) => isSigned))
    assert.equal(told.find(({ event }) => event === 'failed')?.type, 'fine_tuning.job.failed')
  })

  test('rollback: readers see the one version or the other, and history says it', async () => {
    let isReading = true
    const seen = new Set<number | undefined>()
    const reader = (async () => {
      while (isReading) seen.add((await currentVersion(store, NAME))?.version)
    })()
    for (let turn = 0; turn < 5; turn++) {
      await rollback(store, NAME, 1, { at: new Date(), id: `to-1-${turn}` })
      await rollback(store, NAME, 3, { at: new Date(), id: `to-3-${turn}` })
    }
    const { to } = await rollback(store, NAME, undefined, { at: new Date(), id: 'back' })
    isReading = false
    await reader
    assert.equal(to, 2)
    assert(
      [...seen].every((version) => [1, 2, 3].includes(version ?? 0)),
      [...seen].join(),
    )
    const last = (await listRecords(store, NAME)).at(-1)
    assert.deepEqual([last?.end, last?.version], ['rolledBack', 2])
    await assert.rejects(rollback(store, NAME, 9, { at: new Date(), id: 'x' }), /has no version 9/)
  })

  test('two schedules may not publish one name, and sources are looked for before anything starts', async () => {
    await assert.rejects(start('other', { publish: NAME }), /support is published by the schedule support/)
    await assert.rejects(start(NAME), /There is a schedule support already/)
    const { name, spec } = document('lost')
    spec.fineTune.data.train = ['s3://rows/nowhere/']
    await assert.rejects(
      createSchedule(session(), { name, spec, heartbeatSeconds: 10 }),
      /s3:\/\/rows\/nowhere\/: holds no file/,
    )
    await deleteSchedule(session(), NAME)
    await assert.rejects(findSchedule(session(), NAME), /There is no schedule support/)
  })

  test('a schedule of seconds fires by itself, and pauses', async () => {
    await start('often', { cron: '*/2 * * * * * *', minNewRows: 10_000 })
    const { handle } = await findSchedule(session(), 'often')
    let records: unknown[] = []
    for (let waited = 0; records.length < 2 && waited < 120_000; waited += 100) {
      await sleep(100)
      records = await listRecords(store, 'often')
    }
    await handle.pause('enough')
    const [first, second] = records as NightRecord[]
    assert.deepEqual([first?.decision, second?.decision], ['tooFew', 'tooFew'])
    assert.deepEqual([first?.rows?.cleaned, second?.rows?.cleaned], [430, 0], 'cleaned once, counted again')
    assert.equal((await handle.describe()).state.paused, true)
    await deleteSchedule(session(), 'often')
  })
})

async function startTraining(address: string, activities: object): Promise<{ stop(): Promise<void> }> {
  const connection = await NativeConnection.connect({ address })
  const worker = await Worker.create({
    connection,
    taskQueue: CPU_TRAINING_QUEUE,
    workflowBundle: await workflowBundle(downloadCache(process.env)),
    activities,
    sinks: { exporter: { export: { fn: () => {} } } },
    maxHeartbeatThrottleInterval: '100ms',
  })
  const running = worker.run()
  return {
    async stop() {
      worker.shutdown()
      await running
      await connection.close()
    },
  }
}

/** Hands each body to `take`; without one it never answers. */
function listen(
  take: ((body: string, headers: NodeJS.Dict<string | string[]>) => void) | undefined,
): Promise<Server> {
  const server = createServer((request, response) => {
    if (take === undefined) return
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      take(body, request.headers)
      response.writeHead(204).end()
    })
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
