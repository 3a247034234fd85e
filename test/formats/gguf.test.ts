import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import { readGguf } from '../../src/formats/gguf-reader.ts'
import type { GgufMetadata } from '../../src/formats/gguf-values.ts'
import { writeGgufFile } from '../../src/formats/gguf-writer.ts'
import { quantizeQ8 } from '../../src/formats/quantize.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-gguf-'))
after(() => rmSync(folder, { recursive: true }))

const metadata: GgufMetadata = new Map([
  ['general.architecture', { type: 'STRING', value: 'llama' }],
  ['n.u8', { type: 'UINT8', value: 255 }],
  ['n.i8', { type: 'INT8', value: -1 }],
  ['n.u16', { type: 'UINT16', value: 65535 }],
  ['n.i16', { type: 'INT16', value: -2 }],
  ['n.u32', { type: 'UINT32', value: 2 ** 32 - 1 }],
  ['n.i32', { type: 'INT32', value: -3 }],
  ['n.f32', { type: 'FLOAT32', value: 0.5 }],
  ['n.f64', { type: 'FLOAT64', value: 0.1 }],
  ['n.u64', { type: 'UINT64', value: 2n ** 64n - 1n }],
  ['n.i64', { type: 'INT64', value: -4n }],
  ['n.bool', { type: 'BOOL', value: true }],
  ['a.words', { type: 'ARRAY', of: 'STRING', value: ['Ġthe', '', '😀'] }],
  ['a.numbers', { type: 'ARRAY', of: 'INT32', value: [1, -1] }],
])
const numbers = Float32Array.from({ length: 64 }, (_, i) => i - 20)
const tensors = [
  { name: 'a', type: 'F32', shape: [3], data: () => new Uint8Array(Float32Array.of(1, 2, 3).buffer) },
  { name: 'q', type: 'Q8_0', shape: [2, 32], data: () => quantizeQ8(numbers) },
] as const

async function written(name: string): Promise<string> {
  const path = join(folder, name)
  await writeGgufFile(path, metadata, tensors)
  return path
}

test('what is written is read again: every value type, shapes outermost first, aligned data', async () => {
  const file = readGguf(await written('round.gguf'))
  assert.deepEqual(file.metadata, metadata)
  assert.deepEqual([...file.infos.keys()], ['a', 'q'])
  assert.deepEqual(file.infos.get('q')?.shape, [2, 32])
  assert.deepEqual([...file.float32('a')], [1, 2, 3])
  assert.deepEqual(file.bytes('q'), quantizeQ8(numbers))
  assert.equal((file.infos.get('q')?.position ?? 1) % 32, 0)
  assert.throws(() => file.float32('absent'), /holds no tensor "absent"/)
  file.close()
})

// Places in the file's bytes: 4 version, 8 tensor count, 16 key count, 24 length of the first key.
const hostile: {
  name: string
  change: (bytes: Buffer, place: (text: string) => number) => Buffer | void
  want: RegExp
}[] = [
  { name: 'another magic number', change: (b) => void b.write('GGML'), want: /does not begin with GGUF/ },
  { name: 'version 1', change: (b) => void b.writeUInt32LE(1, 4), want: /version 1, supported are 2 and 3/ },
  { name: 'big-endian', change: (b) => void b.writeUInt32BE(3, 4), want: /big-endian/ },
  {
    name: '10^9 tensors',
    change: (b) => void b.writeBigUInt64LE(10n ** 9n, 8),
    want: /claims 1000000000 tensors/,
  },
  {
    name: '2^63 keys',
    change: (b) => void b.writeBigUInt64LE(2n ** 63n, 16),
    want: /metadata keys, more than/,
  },
  {
    name: 'a key of 2^40 bytes',
    change: (b) => void b.writeBigUInt64LE(2n ** 40n, 24),
    want: /key 1 of 14 claims/,
  },
  {
    name: 'a key beyond the file',
    change: (b) => void b.writeBigUInt64LE(9000n, 24),
    want: /goes beyond the end of the file/,
  },
  {
    name: 'a key that is not UTF-8',
    change: (b) => void b.writeUInt8(0xff, 33),
    want: /key 1 of 14 is not UTF-8/,
  },
  {
    name: 'an unknown value type',
    change: (b, at) => void b.writeUInt32LE(77, at('n.u8')),
    want: /"n.u8" has the unknown type 77/,
  },
  {
    name: 'an array of arrays',
    change: (b, at) => void b.writeUInt32LE(9, at('a.words') + 4),
    want: /array of arrays/,
  },
  {
    name: 'an array of 2^60 elements',
    change: (b, at) => void b.writeBigUInt64LE(2n ** 60n, at('a.numbers') + 8),
    want: /"a.numbers" claims 1152921504606846976 elements/,
  },
  {
    name: 'a key twice',
    change: (b, at) => void b.write('n.u8', at('n.i8') - 4),
    want: /"n.u8" stands twice/,
  },
  // The names of the tensors are one letter: behind each stand dimensions (4), shape, type (4) and offset (8).
  {
    name: 'nine dimensions',
    change: (b) => void b.writeUInt32LE(9, infoOf(b, 'q')),
    want: /"q" claims 9 dimensions/,
  },
  {
    name: 'a shape whose product overflows',
    change: (b) => (
      b.writeBigUInt64LE(2n ** 62n, infoOf(b, 'q') + 4),
      void b.writeBigUInt64LE(4n, infoOf(b, 'q') + 12)
    ),
    want: /"q" has a shape too large/,
  },
  {
    name: 'an unknown tensor type',
    change: (b) => void b.writeUInt32LE(16, infoOf(b, 'q') + 20),
    want: /"q" has ggml type 16, supported are F32/,
  },
  {
    name: 'rows that are no whole blocks',
    change: (b) => void b.writeBigUInt64LE(31n, infoOf(b, 'q') + 4),
    want: /rows of 31, not a multiple of Q8_0's block/,
  },
  {
    name: 'an offset off the alignment',
    change: (b) => void b.writeBigUInt64LE(33n, infoOf(b, 'q') + 24),
    want: /begins at 33, not a multiple of 32/,
  },
  {
    name: 'an offset beyond the file',
    change: (b) => void b.writeBigUInt64LE(2n ** 40n, infoOf(b, 'q') + 24),
    want: /"q" begins at byte 1099511627776/,
  },
  {
    name: 'overlapping tensors',
    change: (b) => void b.writeBigUInt64LE(0n, infoOf(b, 'q') + 24),
    want: /begins inside the tensor before it/,
  },
  {
    name: 'a truncated file',
    change: (b) => b.subarray(0, b.length - 40),
    want: /"q" ends at byte \d+, beyond the end/,
  },
  {
    name: 'a file cut inside its header',
    change: (b) => b.subarray(0, 300),
    want: /goes beyond the end of the file/,
  },
  { name: 'an empty file', change: (b) => b.subarray(0, 0), want: /the magic number goes beyond the end/ },
]

function infoOf(bytes: Buffer, name: string): number {
  const pattern = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, name.charCodeAt(0)])
  return bytes.indexOf(pattern) + pattern.length
}

for (const { name, change, want } of hostile)
  test(`refused: ${name}`, async () => {
    const path = await written('hostile.gguf')
    const bytes = readFileSync(path)
    const behindKey = (key: string) => bytes.indexOf(key) + key.length
    writeFileSync(path, change(bytes, behindKey) ?? bytes)
    assert.throws(
      () => readGguf(path),
      (error) => {
        assert(error instanceof InputError)
        assert.match(error.message, want)
        assert(error.message.startsWith(path), 'names the file')
        return true
      },
    )
  })

test('refused: an alignment that is no power of two', async () => {
  const path = join(folder, 'alignment.gguf')
  await writeGgufFile(path, new Map([['general.alignment', { type: 'UINT32', value: 24 }]]), [])
  assert.throws(() => readGguf(path), /general.alignment is no power of two/)
})

test('any single cut of the header is refused, never read past', async () => {
  const path = await written('cut.gguf')
  const bytes = readFileSync(path)
  const headerEnd = infoOf(bytes, 'q') + 32
  for (let length = 0; length < headerEnd; length++) {
    writeFileSync(path, bytes.subarray(0, length))
    assert.throws(() => readGguf(path), InputError, `cut at ${length}`)
  }
})
