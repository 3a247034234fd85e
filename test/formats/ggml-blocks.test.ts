import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dequantize } from '../../src/formats/dequantize.ts'
import { quantizeQ8 } from '../../src/formats/quantize.ts'
import { fixture } from './fixtures.ts'

for (const type of ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K'] as const)
  test(`${type} decodes bit for bit as gguf-py does`, () => {
    const values = dequantize(type, fixture(type, 'blocks'))
    assert.deepEqual(values, new Float32Array(fixture(type, 'values').buffer))
  })

test('Q8_0 is encoded bit for bit as gguf-py does, zeros and ties included', () => {
  const values = new Float32Array(fixture('quantizeQ8_0', 'values').buffer)
  assert.deepEqual(quantizeQ8(values), fixture('quantizeQ8_0', 'blocks'))
})

test('the plain types decode from an odd place in a buffer', () => {
  const shifted = new Uint8Array(9)
  shifted.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1)
  assert.deepEqual([...dequantize('F32', shifted.subarray(1))], [1.5, -2])
  assert.deepEqual([...dequantize('F16', Uint8Array.of(0, 0x3c, 0, 0xc0))], [1, -2])
  assert.deepEqual([...dequantize('BF16', Uint8Array.of(0x80, 0x3f, 0, 0xc0))], [1, -2])
})
