import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fieldPaths, fineTuneJsonSchema, schemaAt } from '../../src/spec/json-schema.ts'

test('schema/fine-tune.schema.json is what the code generates (node scripts/generate-schema.ts)', () => {
  const file = readFileSync(new URL('../../schema/fine-tune.schema.json', import.meta.url), 'utf8')
  assert.deepEqual(JSON.parse(file), JSON.parse(JSON.stringify(fineTuneJsonSchema())))
})

test('every field has a description of its own', () => {
  const paths = fieldPaths()
  assert.ok(paths.length > 50)
  const bare = paths.filter((path) => (schemaAt(path)?.description ?? '').length < 5)
  assert.deepEqual(bare, [])
})

test('only what has no default is required', () => {
  assert.deepEqual(fineTuneJsonSchema()['required'], ['apiVersion', 'kind', 'metadata', 'spec'])
  assert.deepEqual(schemaAt(['spec'])?.['required'], ['model', 'data'])
  assert.deepEqual(schemaAt(['spec', 'data'])?.['required'], ['train'])
  assert.equal(schemaAt(['spec', 'train'])?.['required'], undefined)
  assert.equal(schemaAt(['spec', 'train', 'learningRate'])?.default, 2e-4)
})

test('a place that is not in the document has no schema', () => {
  assert.equal(schemaAt(['spec', 'constructor']), undefined)
  assert.equal(schemaAt(['spec', 'data', 'train', 0])?.['type'], 'string')
})
