import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { specReference } from '../../scripts/spec-reference.ts'
import { fieldPaths, fineTuneJsonSchema, schemaAt } from '../../src/spec/json-schema.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'

test('schema/fine-tune.schema.json is what the code generates (node scripts/generate-schema.ts)', () => {
  const file = readFileSync(new URL('../../schema/fine-tune.schema.json', import.meta.url), 'utf8')
  assert.deepEqual(JSON.parse(file), JSON.parse(JSON.stringify(fineTuneJsonSchema())))
})

test('docs/fine-tune.md is what the code generates, and its example is a valid document', async () => {
  const page = readFileSync(new URL('../../docs/fine-tune.md', import.meta.url), 'utf8')
  assert.equal(page, await specReference())
  const example = /```yaml\n([^`]*)```/.exec(page)?.[1] ?? ''
  assert.equal(parseFineTune(example, 'the example').name, 'support-bot')
  const named = /\$schema=(\S+)/.exec(example)?.[1] ?? ''
  assert.ok(readFileSync(new URL(`../../${named}`, import.meta.url), 'utf8').includes('FineTune'))
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
