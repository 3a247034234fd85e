import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  bfloat16ToFloat32,
  bfloat16ToHalf,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
  halfToNumber,
  numberToHalf,
} from '../../src/formats/numbers.ts'
import { fixture } from './fixtures.ts'

const every16 = Uint16Array.from({ length: 65536 }, (_, i) => i)

test('every half survives the way to float32 and back', () => {
  const back = float32ToHalf(halfToFloat32(every16))
  for (const bits of every16) {
    const isNaN = (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0
    if (isNaN) assert.equal((back[bits] ?? 0) & 0x7fff, 0x7e00, `NaN ${bits.toString(16)}`)
    else assert.equal(back[bits], bits, `half ${bits.toString(16)}`)
  }
})

test('every bfloat16 survives the way to float32 and back', () => {
  const back = float32ToBfloat16(bfloat16ToFloat32(every16))
  for (const bits of every16) {
    const isNaN = (bits & 0x7fff) > 0x7f80
    assert.equal(back[bits], isNaN ? bits | 0x40 : bits, `bfloat16 ${bits.toString(16)}`)
  }
})

for (const { name, value, want } of [
  { name: 'the largest half', value: 65504, want: 0x7bff },
  { name: 'just below halfway to 2^16', value: 65519, want: 0x7bff },
  { name: 'halfway to 2^16', value: 65520, want: 0x7c00 },
  { name: 'halfway between two halves, to the even one below', value: 1 + 2 ** -11, want: 0x3c00 },
  { name: 'halfway between two halves, to the even one above', value: 1 + 3 * 2 ** -11, want: 0x3c02 },
  { name: 'half of the smallest subnormal, to zero', value: 2 ** -25, want: 0 },
  { name: 'above half of the smallest subnormal', value: 1.01 * 2 ** -25, want: 1 },
  {
    name: 'the largest subnormal rounded up to the smallest normal',
    value: 2 ** -14 - 2 ** -26,
    want: 0x400,
  },
  { name: 'minus zero', value: -0, want: 0x8000 },
  { name: 'minus infinity', value: -Infinity, want: 0xfc00 },
])
  test(`to half: ${name}`, () => assert.equal(numberToHalf(value), want))

test('a half is a number', () => assert.equal(halfToNumber(0x3555), 0.333251953125))

test("rounding is numpy's for half and gguf-py's for bfloat16", () => {
  for (const [name, convert] of [
    ['half', float32ToHalf],
    ['bfloat16', float32ToBfloat16],
  ] as const) {
    const values = new Float32Array(fixture(name, 'values').buffer)
    assert.deepEqual(convert(values), new Uint16Array(fixture(name, 'bits').buffer))
  }
})

test('every bfloat16 becomes the half that its float32 becomes', () => {
  assert.deepEqual(bfloat16ToHalf(every16.slice()), float32ToHalf(bfloat16ToFloat32(every16)))
})
