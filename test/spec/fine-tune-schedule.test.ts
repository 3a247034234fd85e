import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scheduleReference } from '../../scripts/spec-reference.ts'
import { InputError } from '../../src/errors.ts'
import { cronProblem } from '../../src/spec/cron.ts'
import { resolveSchedulePaths } from '../../src/spec/document-paths.ts'
import {
  fieldPaths,
  fineTuneScheduleFileSchema,
  fineTuneScheduleJsonSchema,
  schemaAt,
} from '../../src/spec/json-schema.ts'
import { parseFineTuneSchedule } from '../../src/spec/parse-fine-tune-schedule.ts'

const document = (spec: object = {}, fineTune: object = {}) => ({
  apiVersion: 'temper.dev/v1alpha1',
  kind: 'FineTuneSchedule',
  metadata: { name: 'support' },
  spec: {
    schedule: { cron: '0 2 * * *' },
    ...spec,
    fineTune: { model: { source: 'model' }, data: { train: ['s3://rows/a/', 'rows.jsonl'] }, ...fineTune },
  },
})

function errorsOf(source: object | string): string {
  try {
    parseFineTuneSchedule(source, 'nightly.yaml')
  } catch (error) {
    assert(error instanceof InputError)
    return error.message
  }
  return assert.fail('it should be refused')
}

test('a schedule needs a cron line and a job; everything else has a default', () => {
  const { name, spec } = parseFineTuneSchedule(document(), 'nightly.yaml')
  assert.equal(name, 'support')
  assert.equal(spec.fineTune.publish.name, 'support')
  assert.deepEqual(spec.schedule, {
    cron: '0 2 * * *',
    timeZone: 'UTC',
    jitterSeconds: 0,
    overlapPolicy: 'skip',
    catchupWindowSeconds: 3600,
    pauseOnFailure: false,
  })
  assert.deepEqual(spec.gate, { metric: 'loss', margin: 0, confidence: 0.95 })
  const resolved = resolveSchedulePaths(spec, '/jobs')
  assert.deepEqual(resolved.fineTune.data.train, ['s3://rows/a/', '/jobs/rows.jsonl'])
})

test('all errors at once, each with its path, also between the fields of the job', () => {
  const message = errorsOf(
    document(
      {
        schedule: { cron: '0 2 30 feb *', timeZone: 'Europe/Zurigo', jiterSeconds: 1 },
        gate: { metric: 'bleu' },
        notifications: [{ url: 'ftp://x' }],
      },
      {
        data: { train: ['http://x/y'], eval: ['x.jsonl'] },
        train: { warmupSteps: 5, maxSteps: 3 },
        publish: { approval: 'required' },
      },
    ),
  )
  for (const expected of [
    /spec\.schedule\.cron: never fires/,
    /spec\.schedule\.timeZone: must be a time zone of the IANA list/,
    /spec\.schedule\.jiterSeconds: is not a field of spec\.schedule; did you mean jitterSeconds\?/,
    /spec\.gate\.metric: must be one of loss, perplexity, tokenAccuracy, but is "bleu"/,
    /spec\.notifications\[0\]\.url: must be an http or https address/,
    /spec\.fineTune\.data\.train\[0\]: must be a path .* or s3:\/\//,
    /spec\.fineTune\.data\.eval: must be empty/,
    /spec\.fineTune\.train\.warmupSteps: must be below maxSteps/,
    /spec\.fineTune\.publish\.approval: must be none, since a night asks nobody: its gate decides/,
  ])
    assert.match(message, expected)
  assert.match(message, /has 9 errors/)
})

describe('a cron line', () => {
  const now = new Date('2026-11-22T00:00:00Z')
  for (const line of [
    '* * * * *',
    '*/15 0-6,22 1,15 jan-mar mon-fri',
    '0 0 29 feb *',
    '0 0 29 2 sun',
    '0 2 * * 7',
    '0 0 1 1 * 2027',
    '*/2 * * * * * *',
  ])
    test(`${line} fires`, () => assert.equal(cronProblem(line, now), undefined))
  for (const line of ['0 0 31 2 *', '0 0 31 4,6,9,11 *', '0 0 1 1 * 2025', '0 0 30 feb mon'])
    test(`${line} never fires`, () => assert.match(cronProblem(line, now) ?? '', /never fires/))
  for (const [line, field] of [
    ['60 * * * *', 'minute'],
    ['* 5-2 * * *', 'hour'],
    ['* * 0 * *', 'day of month'],
    ['* * * smarch *', 'month'],
    ['*/0 * * * *', 'minute'],
  ] as const)
    test(`${line} has a wrong ${field}`, () =>
      assert.match(cronProblem(line, now) ?? '', new RegExp(`for the ${field},`)))
  test('has 5 to 7 fields', () => assert.match(cronProblem('@daily', now) ?? '', /must have 5 fields/))
})

test('schema and page are what the code generates (node scripts/generate-schema.ts)', async () => {
  const file = readFileSync(new URL('../../schema/fine-tune-schedule.schema.json', import.meta.url), 'utf8')
  assert.deepEqual(JSON.parse(file), JSON.parse(JSON.stringify(fineTuneScheduleFileSchema())))
  const page = readFileSync(new URL('../../docs/fine-tune-schedule.md', import.meta.url), 'utf8')
  assert.equal(page, await scheduleReference())
  const example = /```yaml\n([^`]*)```/.exec(page)?.[1] ?? ''
  assert.equal(parseFineTuneSchedule(example, 'the example').name, 'support')
})

test('every field has a description of its own', () => {
  const root = fineTuneScheduleJsonSchema()
  const bare = fieldPaths(root).filter((path) => (schemaAt(path, root)?.description ?? '').length < 5)
  assert.deepEqual(bare, [])
})
