import assert from 'node:assert/strict'
import { test } from 'node:test'
import { temperFolder, until } from '../support/temper-cli.ts'
import { startCollector } from './collector.ts'

// npm run test:collector: what one-job.test.ts sees with a receiver of its own, seen by a real OpenTelemetry collector.

test('a real collector takes the spans of a job, all of one trace', { timeout: 40 * 60_000 }, async (t) => {
  // Not known yet: the folder is made with the environment of the command.
  const environment: Record<string, string> = {}
  const folder = await temperFolder(environment)
  t.after(() => folder.remove())
  const collector = await startCollector(folder.root)
  t.after(() => collector.stop())
  environment['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.endpoint
  const { code, stderr } = await folder.temper(
    'run',
    folder.job('seen', { train: { maxSteps: 20 }, quantize: { formats: [] } }),
    '--json',
  )
  assert.equal(code, 0, stderr)
  await until('the spans of the worker', () =>
    collector.spans().some(({ name }) => name === 'RunActivity:publish'),
  )
  const spans = collector.spans()
  const [started] = spans.filter(({ service }) => service === 'temper')
  assert(started)
  assert.equal(started.name, 'StartWorkflow:fineTune')
  for (const name of ['RunWorkflow:fineTune', 'RunActivity:train', 'RunActivity:publish'])
    assert(
      spans.some((span) => span.name === name && span.service === 'temper-worker'),
      name,
    )
  assert.deepEqual(new Set(spans.map(({ traceId }) => traceId)), new Set([started.traceId]))
})
