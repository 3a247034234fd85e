import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import { Client, Connection } from '@temporalio/client'
import { jobIdOf } from '../../jobs/job-id.ts'
import { freePort } from '../../src/local/ports.ts'
import { type JobLogLine, jobLogReader } from '../../src/stages/job-log.ts'
import { openStore } from '../../src/store/open-store.ts'
import { METRICS } from '../../worker/metrics.ts'
import { trainingWorkflowId } from '../../workflows/job.ts'
import { keysOf, textOf } from '../store/support/scratch.ts'
import { type TemperFolder, temperFolder } from '../support/temper-cli.ts'
import { type TestTemporal, startTemporal } from '../support/temporal.ts'
import { otlpReceiver } from './otlp-receiver.ts'

const SECRETS = { HF_TOKEN: 'hf_plantedToken4711', AWS_SECRET_ACCESS_KEY: 'plantedSecretKey4711' }
const ROW = 'the planted row of a patient named Quillfeather'
const NAME = 'watched'

describe('one job as operators see it', { timeout: 300_000 }, () => {
  let temporal: TestTemporal
  let receiver: Awaited<ReturnType<typeof otlpReceiver>>
  let folder: TemperFolder
  let log: JobLogLine[]
  let workerLog: string
  let scraped = ''
  const health = new Set<number>()
  const histories: string[] = []

  before(async () => {
    temporal = await startTemporal()
    receiver = await otlpReceiver()
    const metrics = `127.0.0.1:${await freePort()}`
    folder = await temperFolder({
      ...SECRETS,
      TEMPORAL_ADDRESS: temporal.address,
      TEMPER_HEALTH_PORT: metrics,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    })
    const rows = readFileSync(join(folder.root, 'rows.jsonl'), 'utf8')
    writeFileSync(
      join(folder.root, 'rows.jsonl'),
      `${rows}${JSON.stringify({ instruction: ROW, output: ROW })}\n`,
    )
    const running = folder.start('run', folder.job(NAME, { train: { maxSteps: 300 } }), '--json')
    let isOver = false
    void running.ended.then(() => (isOver = true))
    while (!isOver) {
      const answers = await Promise.all(
        ['metrics', 'readyz'].map((path) => fetch(`http://${metrics}/${path}`).catch(() => undefined)),
      )
      if (answers[0]?.ok) scraped = await answers[0].text()
      if (answers[1]) health.add(answers[1].status)
      await sleep(100)
    }
    const { code, stderr } = await running.ended
    assert.equal(code, 0, stderr)
    const store = await openStore(`file://${join(folder.state, 'store')}`)
    log = await jobLogReader(store, jobIdOf(NAME))()
    workerLog = readFileSync(join(folder.state, 'logs', 'worker.log'), 'utf8')
    const connection = await Connection.connect({ address: temporal.address })
    const client = new Client({ connection })
    for (const id of [jobIdOf(NAME), trainingWorkflowId(jobIdOf(NAME))])
      histories.push(decoded(await client.workflow.getHandle(id).fetchHistory()))
    await connection.close()
  })

  after(async () => {
    folder.remove()
    await receiver.close()
    await temporal.stop()
  })

  test("one trace id, from the command to every line of the trainer's child", () => {
    const [command, ...others] = receiver.spans.filter(({ service }) => service === 'temper')
    assert(command && others.length === 0, 'the command has sent one span')
    assert.equal(command.name, 'StartWorkflow:fineTune')
    const { traceId } = command
    assert.deepEqual(new Set(log.map(({ trace }) => trace)), new Set([traceId]))
    assert(log.some(({ stage, message }) => stage === 'train' && message === 'child process started'))
    const activities = receiver.spans.filter(({ name }) => name === 'RunActivity:train')
    assert.deepEqual(
      activities.map((span) => [span.service, span.traceId]),
      [['temper-worker', traceId]],
    )
    assert(receiver.spans.some(({ name }) => name === 'RunWorkflow:fineTune'))
    const lines = workerLog
      .split('\n')
      .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []))
    const ofTraining = lines.filter(({ stage }) => stage === 'train')
    assert(ofTraining.length > 2)
    for (const line of ofTraining) assert.equal(line['trace'], traceId)
  })

  test('metrics and health of the worker while it works', () => {
    assert(health.has(200))
    for (const { name } of Object.values(METRICS)) assert(scraped.includes(`# TYPE ${name} `), name)
    // The first report of a quick training may name its second or third step.
    const steps = Number(/^temper_training_steps_total (\d+)$/m.exec(scraped)?.[1])
    assert(steps > 280 && steps <= 300, `${steps} steps of 300 are counted`)
    assert.match(scraped, /^temper_stage_attempts_total\{stage="train",state="done"\} 1$/m)
    assert.match(scraped, /^temper_training_seconds_total\{use="useful"\} /m)
  })

  test('no secret and no row in logs, histories and spans; no secret in the store', async () => {
    const said = [workerLog, JSON.stringify(log), ...histories, ...receiver.bodies]
    for (const text of said) {
      for (const [name, secret] of Object.entries(SECRETS)) assert(!text.includes(secret), name)
      assert(!text.includes('Quillfeather'), 'the text of a row')
    }
    const store = await openStore(`file://${join(folder.state, 'store')}`)
    let rowsFound = 0
    for (const key of await keysOf(store)) {
      const text = (await textOf(store, key)) ?? ''
      for (const [name, secret] of Object.entries(SECRETS))
        assert(!text.includes(secret), `${name} in ${key}`)
      if (text.includes('Quillfeather')) rowsFound++
    }
    assert(rowsFound > 0, 'rows are in the artifacts that hold rows, so the planted one would be found')
  })
})

/** A history as JSON, its payloads as the text that they carry. */
function decoded(history: object): string {
  return JSON.stringify(history, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString()
    return value
  })
}
