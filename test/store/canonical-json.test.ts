import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { stageDigest } from '../../src/store/artifact.ts'
import { canonicalJson } from '../../src/store/canonical-json.ts'

test('one value has one spelling, whatever the order of its fields', () => {
  const spelling = '{"a":[1,null,"x"],"b":{"c":true,"d":0.0002}}'
  assert.equal(canonicalJson({ b: { d: 2e-4, c: true }, a: [1, null, 'x'] }), spelling)
  assert.equal(canonicalJson({ a: [1, null, 'x'], z: undefined, b: { c: true, d: 0.0002 } }), spelling)
  assert.deepEqual(JSON.parse(spelling), { a: [1, null, 'x'], b: { c: true, d: 2e-4 } })
})

test('names are ordered by their bytes, not by a language', () => {
  assert.equal(canonicalJson({ ä: 1, Z: 2, a: 3, '10': 4, '9': 5 }), '{"10":4,"9":5,"Z":2,"a":3,"ä":1}')
})

for (const value of [Number.NaN, Infinity, undefined, new Map(), new Date(0), 10n, () => 0]) {
  test(`${inspect(value)} has no spelling and is refused`, () => {
    assert.throws(() => canonicalJson(value), TypeError)
    assert.throws(() => canonicalJson({ deep: [value] }), TypeError)
  })
}

test('a digest tells apart everything that makes other bytes, and nothing else', () => {
  const base = { stage: 'clean', version: 1, inputs: { a: '1', b: '2' }, settings: { html: 'strip', n: 1 } }
  const same = { ...base, inputs: { b: '2', a: '1' }, settings: { n: 1, html: 'strip', later: undefined } }
  assert.equal(stageDigest(base), stageDigest(same))
  assert.match(stageDigest(base), /^[0-9a-f]{64}$/)
  const others = [
    { ...base, stage: 'tokenize' },
    { ...base, version: 2 },
    { ...base, inputs: { a: '1', b: '3' } },
    { ...base, inputs: { a: '1', c: '2' } },
    { ...base, settings: { html: 'keep', n: 1 } },
    { ...base, settings: { html: 'strip', n: '1' } },
  ]
  assert.equal(new Set([base, ...others].map(stageDigest)).size, 7)
})
