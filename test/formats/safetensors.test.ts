import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-safetensors-'))
after(() => rmSync(folder, { recursive: true }))
const path = (name: string) => join(folder, name)

/** A file with any header, right or wrong. */
function craft(name: string, header: unknown, dataBytes = 0, claimedLength?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(claimedLength ?? BigInt(json.length))
  writeFileSync(path(name), Buffer.concat([length, json, Buffer.alloc(dataBytes)]))
  return path(name)
}

test('what is written is read again, type by type', async () => {
  const file = path('all.safetensors')
  const tensors = [
    { name: 'f', type: 'F32', shape: [2, 2], data: Float32Array.of(1, -2.5, 3e-9, 4) },
    { name: 'h', type: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xc100) },
    { name: 'b', type: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc020) },
    { name: 'i', type: 'I32', shape: [3], data: Int32Array.of(-1, 2, 2 ** 31 - 1) },
    { name: 'l', type: 'I64', shape: [1], data: BigInt64Array.of(-(2n ** 40n)) },
    { name: 'u', type: 'U8', shape: [3], data: Uint8Array.of(0, 1, 255) },
    { name: 's', type: 'I8', shape: [2], data: Int8Array.of(-128, 127) },
    { name: 'empty', type: 'F32', shape: [0, 4], data: new Float32Array(0) },
    { name: 'scalar', type: 'F32', shape: [], data: Float32Array.of(7) },
  ] as const
  await writeSafetensors(file, tensors, { format: 'pt' })
  const read = readSafetensors(file)
  for (const { name, type, shape, data } of tensors) {
    assert.deepEqual(read.tensor(name), data)
    assert.equal(read.infos.get(name)?.type, type)
    assert.deepEqual(read.infos.get(name)?.shape, shape)
  }
  assert.deepEqual(read.metadata, { format: 'pt' })
  assert.deepEqual([...read.float32('h')], [1, -2.5])
  assert.deepEqual([...read.float32('b')], [1, -2.5])
  assert.throws(() => read.float32('i'), /tensor "i" is I32; a weight must be F32, F16 or BF16/)
  assert.throws(() => read.tensor('absent'), InputError)
  read.close()
})

test('the order of the tensors does not change the bytes, and the data begins at a multiple of 8', async () => {
  const a = { name: 'a', type: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) } as const
  const b = { name: 'b', type: 'F32', shape: [1], data: () => Float32Array.of(5) } as const
  await writeSafetensors(path('ab'), [a, b])
  await writeSafetensors(path('ba'), [b, a])
  const bytes = readFileSync(path('ab'))
  assert.deepEqual(bytes, readFileSync(path('ba')))
  assert.equal(bytes.readBigUInt64LE() % 8n, 0n)
})

test('a write that fails leaves what was there and no temporary file', async () => {
  const file = path('kept.safetensors')
  writeFileSync(file, 'before')
  const broken = {
    name: 'x',
    type: 'F32' as const,
    shape: [1],
    data: (): Float32Array => {
      throw new Error('the second tensor failed')
    },
  }
  const good = { name: 'a', type: 'F32' as const, shape: [1], data: Float32Array.of(1) }
  await assert.rejects(writeSafetensors(file, [good, broken]), /the second tensor failed/)
  assert.equal(readFileSync(file, 'utf8'), 'before')
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('a write into a folder that is missing says so', async () => {
  await assert.rejects(writeSafetensors(path('no/such/x.safetensors'), []), (error) => {
    assert(error instanceof InputError)
    assert.match(error.message, /its folder does not exist/)
    return true
  })
})

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})
const million = 1_000_000
const hostile: { name: string; file: () => string; want: RegExp }[] = [
  {
    name: 'seven bytes',
    file: () => (writeFileSync(path('x'), '1234567'), path('x')),
    want: /has 7 bytes, too few/,
  },
  {
    name: 'a header longer than the file',
    file: () => craft('x', {}, 0, 5000n),
    want: /claims 5000 bytes, beyond the end of the file \(10 bytes\)/,
  },
  {
    name: 'a header of 2^63 bytes',
    file: () => craft('x', {}, 0, 2n ** 63n),
    want: /more than the 100000000 allowed/,
  },
  { name: 'no JSON', file: () => craft('x', '{"a": '), want: /the header is not JSON/ },
  { name: 'a JSON array', file: () => craft('x', '[]'), want: /not a JSON object/ },
  { name: 'bytes that are not UTF-8', file: () => craftBytes(), want: /the header is not UTF-8/ },
  {
    name: 'an unknown type',
    file: () => craft('x', { a: { ...f32(0, 4), dtype: 'F99' } }, 4),
    want: /"a" has type "F99"/,
  },
  {
    name: 'a type that is no string',
    file: () => craft('x', { a: { ...f32(0, 4), dtype: ['F32'] } }, 4),
    want: /has type none/,
  },
  {
    name: 'no shape',
    file: () => craft('x', { a: { dtype: 'F32', data_offsets: [0, 4] } }, 4),
    want: /no valid shape/,
  },
  { name: 'a negative dimension', file: () => craft('x', { a: f32(0, 4, [-1]) }, 4), want: /no valid shape/ },
  {
    name: 'a shape whose product overflows to 0 in 64 bits',
    file: () => craft('x', { a: f32(0, 0, [2 ** 32, 2 ** 32]) }),
    want: /tensor "a" is F32 of shape \[4294967296, 4294967296\]/,
  },
  {
    name: 'offsets backwards',
    file: () => craft('x', { a: f32(8, 4, [1]) }, 8),
    want: /its offsets span -4/,
  },
  {
    name: 'offsets beyond 2^53',
    file: () => craft('x', { a: f32(0, 2 ** 60, [1]) }, 8),
    want: /no valid data_offsets/,
  },
  {
    name: "a size that is not the type's",
    file: () => craft('x', { a: f32(0, 6, [1]) }, 6),
    want: /4 bytes, but its offsets span 6/,
  },
  {
    name: 'overlapping tensors',
    file: () => craft('x', { a: f32(0, 8), b: f32(4, 12) }, 12),
    want: /"b" begins at byte 4, inside the tensor before/,
  },
  {
    name: 'a hole',
    file: () => craft('x', { a: f32(0, 4), b: f32(8, 12) }, 12),
    want: /"b" begins at byte 8, after a hole/,
  },
  {
    name: 'a truncated file',
    file: () => craft('x', { a: f32(0, 4), b: f32(4, 12) }, 9),
    want: /"b" ends at byte 12 of 9 bytes of data/,
  },
  {
    name: 'bytes that belong to no tensor',
    file: () => craft('x', { a: f32(0, 4) }, 9),
    want: /5 bytes after the last tensor/,
  },
  {
    name: 'a tensor that is a number',
    file: () => craft('x', { a: 3 }),
    want: /"a" is not described by an object/,
  },
  {
    name: 'metadata that is no string',
    file: () => craft('x', { __metadata__: { a: 1 } }),
    want: /__metadata__/,
  },
  {
    name: 'a million tensors',
    file: () => craft('x', manyTensors(million)),
    want: /lists 1000000 tensors, more than/,
  },
]

function manyTensors(count: number): string {
  const parts: string[] = []
  for (let i = 0; i < count; i++) parts.push(`"${i}":0`)
  return `{${parts.join(',')}}`
}

function craftBytes(): string {
  craft('x', '        ')
  const bytes = readFileSync(path('x'))
  bytes[9] = 0xff
  writeFileSync(path('x'), bytes)
  return path('x')
}

for (const { name, file, want } of hostile)
  test(`refused: ${name}`, () => {
    const crafted = file()
    assert.throws(
      () => readSafetensors(crafted),
      (error) => {
        assert(error instanceof InputError)
        assert.match(error.message, want)
        assert(error.message.startsWith(crafted), 'names the file')
        return true
      },
    )
  })

test('refused: no such file, and a folder', () => {
  assert.throws(() => readSafetensors(path('absent')), /there is no such file/)
  assert.throws(() => readSafetensors(folder), /is not a file/)
})

test('a tensor named __proto__ is a tensor', () => {
  const file = craft('proto', `{"__proto__": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}`, 4)
  assert.deepEqual([...readSafetensors(file).float32('__proto__')], [0])
  assert(existsSync(file))
})
