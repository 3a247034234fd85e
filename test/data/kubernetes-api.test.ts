import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildKubernetesApiRows } from '../../examples/kubernetes-api/build.ts'
import { shortened, typeInWords } from '../../examples/kubernetes-api/question-answer.ts'
import { parseFineTune } from '../../src/spec/parse-fine-tune.ts'
import { readJsonl, testFolder } from './data-folder.ts'

type Row = { instruction: string; output: string }

const built = () => {
  const rows = buildKubernetesApiRows(testFolder())
  const read = (path: string) => readJsonl(path) as unknown as Row[]
  return { train: read(rows.train.path), held: read(rows.eval.path), rows }
}

test('the rows are many, different, and the same each time', () => {
  const { train, held, rows } = built()
  assert.deepEqual([train.length, held.length], [384, 40])
  assert.deepEqual([rows.train.rows, rows.eval.rows], [384, 40])
  for (const list of [train, held]) {
    assert.equal(new Set(list.map((row) => row.instruction)).size, list.length)
    assert.equal(new Set(list.map((row) => row.output)).size, list.length)
  }
  assert.ok(train.every(({ output }) => output.length > 60 && output.length < 420))
  assert.deepEqual(built().train, train)
})

test('the evaluation asks about objects and fields that the training does not name', () => {
  const { train, held } = built()
  const field = /^`(\w+)` is an? \w+ field of (\w+): /
  const kind = /^(\w+) is an object of the Kubernetes API\. /
  const about = ({ output }: Row) => {
    const [, fieldName, ofKind] = field.exec(output) ?? []
    return { field: fieldName, kind: ofKind ?? kind.exec(output)?.[1] ?? assert.fail(output) }
  }
  const kinds = new Set(train.map((row) => about(row).kind))
  const fields = new Set(train.map((row) => about(row).field))
  fields.delete(undefined)
  for (const row of held) {
    assert.ok(!kinds.has(about(row).kind), row.instruction)
    assert.ok(!fields.has(about(row).field), row.instruction)
  }
  const descriptions = new Set(train.map(({ output }) => output.slice(output.indexOf('. ') + 2)))
  for (const { output } of held) assert.ok(!descriptions.has(output.slice(output.indexOf('. ') + 2)))
})

test('its job is a valid one', () => {
  const path = join(import.meta.dirname, '../../examples/kubernetes-api/job.yaml')
  const { name, spec } = parseFineTune(readFileSync(path, 'utf8'), 'job.yaml')
  assert.equal(name, 'kubernetes-api')
  assert.deepEqual([spec.data.train, spec.data.eval], [['train.jsonl'], ['eval.jsonl']])
})

test('types are said in words, and descriptions end with a sentence', () => {
  const words = [
    'Array<V1ContainerPort>',
    '{ [key: string]: string; }',
    'IntOrString',
    'V1Probe',
    'Array<string>',
  ]
  assert.deepEqual(words.map(typeInWords), [
    'a list of ContainerPort objects',
    'a map',
    'a number or a string',
    'an object of type Probe',
    'a list of strings',
  ])
  assert.equal(
    shortened('path of the file to read, e.g. /etc/hosts on this very machine. It must exist.'),
    'Path of the file to read, e.g. /etc/hosts on this very machine. It must exist.',
  )
  assert.equal(shortened('too short'), undefined)
})
