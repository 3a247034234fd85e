import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { before, test } from 'node:test'
import { DeterminismViolationError } from '@temporalio/workflow'
import { DefaultLogger, Runtime, Worker, type WorkflowBundleOption } from '@temporalio/worker'
import { downloadCache } from '../../src/local/state-folder.ts'
import { workflowBundle } from '../../worker/workflow-bundle.ts'

// Jobs under way survive a new version only if its workflows decide as the old ones did. docs/workflow-changes.md

const folder = new URL('histories/', import.meta.url)
const names = readdirSync(folder)
let bundle: WorkflowBundleOption

before(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] })
  bundle = await workflowBundle(downloadCache(process.env))
})

const text = (name: string): string => readFileSync(new URL(name, folder), 'utf8')
/** Read by the SDK's own description of a history: its JSON reader fails on the protobufjs that it installs. */
const { temporal } = createRequire(createRequire(import.meta.url).resolve('@temporalio/client'))(
  '@temporalio/proto',
) as { temporal: { api: { history: { v1: { History: { fromObject(json: unknown): object } } } } } }

const replay = (history: string): Promise<void> =>
  Worker.runReplayHistory(
    { workflowBundle: bundle },
    temporal.api.history.v1.History.fromObject(JSON.parse(history)),
    'replayed',
  )

test('there are histories of jobs and of trainings, finished, failed, paused, cancelled, approved and rejected', () => {
  assert.ok(names.length >= 16)
})

for (const name of names)
  test(`${name} is replayed by the workflows as they are now`, async () => {
    await replay(text(name))
  })

interface StartedHistory {
  events: [
    { workflowExecutionStartedEventAttributes: { input: { payloads: [{ data: string }] } } },
    ...unknown[],
  ]
}

// Negative controls: a replay that could not fail would say nothing.
test('a job whose stages came in another order is not replayed', async () => {
  const history = text('finished.json')
  const swapped = history
    .replaceAll('"clean"', '"~"')
    .replaceAll('"tokenize"', '"clean"')
    .replaceAll('"~"', '"tokenize"')
  assert.notEqual(swapped, history)
  await assert.rejects(replay(swapped), DeterminismViolationError)
})

test('a training that waited otherwise before it was tried again is not replayed', async () => {
  const history = text('failures-answered.train.json')
  const altered = history.replaceAll('"EVENT_TYPE_TIMER_STARTED"', '"EVENT_TYPE_MARKER_RECORDED"')
  assert.notEqual(altered, history)
  await assert.rejects(replay(altered), DeterminismViolationError)
})

test('a job that was approved is not replayed as one that asks nobody', async () => {
  const history = JSON.parse(text('approved.json')) as StartedHistory
  const [input] = history.events[0].workflowExecutionStartedEventAttributes.input.payloads
  const job = Buffer.from(input.data, 'base64').toString()
  const altered = job.replace('"approval":"required"', '"approval":"none"')
  assert.notEqual(altered, job)
  input.data = Buffer.from(altered).toString('base64')
  await assert.rejects(replay(JSON.stringify(history)), DeterminismViolationError)
})

test('a history of another workflow is not replayed', async () => {
  const altered = text('finished.train.json').replace('"name":"train"', '"name":"releaseName"')
  await assert.rejects(replay(altered), DeterminismViolationError)
})
