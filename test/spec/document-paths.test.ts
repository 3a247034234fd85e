import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveDocumentPaths } from '../../src/spec/document-paths.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'

const spec = (source: string) =>
  parseFineTune(
    {
      apiVersion: 'temper.dev/v1alpha1',
      kind: 'FineTune',
      metadata: { name: 'a' },
      spec: {
        model: { source },
        data: { train: ['rows.jsonl', '/data/more.csv'], eval: ['../held-out.jsonl'] },
      },
    },
    'job.yaml',
  ).spec

test('paths are relative to the folder of the document, whatever the working folder is', () => {
  const resolved = resolveDocumentPaths(spec('./base'), '/jobs/support')
  assert.equal(resolved.model.source, '/jobs/support/base')
  assert.deepEqual(resolved.data.train, ['/jobs/support/rows.jsonl', '/data/more.csv'])
  assert.deepEqual(resolved.data.eval, ['/jobs/held-out.jsonl'])
})

test('a model of the hub is no path', () => {
  assert.equal(resolveDocumentPaths(spec('hf://owner/name'), '/jobs').model.source, 'hf://owner/name')
})
