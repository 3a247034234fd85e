import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cleanRows } from '../../src/data/clean-rows.ts'
import { readRows } from '../../src/data/read-rows.ts'
import { InputError } from '../../src/errors.ts'

// Files written by Apache Arrow: test/fixtures/parquet/write.py made them.

const fixture = (name: string) => join(import.meta.dirname, '../fixtures/parquet', name)

async function rowsOf(path: string, name = 'rows.parquet'): Promise<[string, unknown][]> {
  const rows: [string, unknown][] = []
  for await (const { at, value } of readRows({ name, path })) rows.push([at, value])
  return rows
}

describe('a Parquet file', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'temper-parquet-'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  for (const codec of ['none', 'snappy', 'gzip', 'brotli', 'zstd'])
    test(`packed by ${codec}, in three row groups`, async () => {
      const rows = await rowsOf(fixture(`${codec}.parquet`))
      assert.equal(rows.length, 25)
      assert.deepEqual(rows[0], [
        'rows.parquet:1',
        { instruction: 'What is 0 plus one?', output: 'It is 1. ✓', n: 0 },
      ])
      assert.deepEqual(rows[24], [
        'rows.parquet:25',
        { instruction: 'What is 24 plus one?', output: 'It is 25. ✓', n: 24 },
      ])
    })

  test('has its types as JSON has them; what has no value is left out', async () => {
    assert.deepEqual(await rowsOf(fixture('types.parquet')), [
      [
        'rows.parquet:1',
        {
          messages: [
            { role: 'user', content: 'Grüezi, was kostet das?' },
            { role: 'assistant', content: '12 Franken 🧀', weight: 0 },
          ],
          at: '2026-11-22T02:00:00.000Z',
          id: '1152921504606846976',
          score: 0.5,
          picture: 'AP8=',
          language: 'de',
          good: true,
        },
      ],
      [
        'rows.parquet:2',
        {
          messages: [
            { role: 'user', content: 'And two?' },
            { role: 'assistant', content: '' },
          ],
          id: 7,
          language: 'de',
        },
      ],
    ])
  })

  test('is a source of an ordinary job', async () => {
    const summary = await cleanRows({
      sources: [{ name: 'zstd.parquet', path: fixture('zstd.parquet') }],
      evalSources: [],
      settings: {
        format: 'auto',
        clean: { html: 'strip', deduplicate: 'exact', minAnswerCharacters: 1 },
        evalFraction: 0.3,
      },
      outDir: folder,
    })
    assert.deepEqual([summary.format, summary.read, summary.kept], ['alpaca', 25, 25])
    const [first = ''] = (await readFile(join(folder, 'train.jsonl'), 'utf8')).split('\n')
    assert.match((JSON.parse(first) as { at: string }).at, /^zstd\.parquet:\d+$/)
  })

  const damaged = async (change: (bytes: Buffer) => Buffer): Promise<string> => {
    const file = join(folder, 'damaged.parquet')
    await writeFile(file, change(await readFile(fixture('none.parquet'))))
    return file
  }
  const refused = async (path: string, why: RegExp) => {
    await assert.rejects(rowsOf(path), (error: Error) => {
      assert(error instanceof InputError, String(error))
      assert.match(error.message, why)
      return true
    })
  }
  test('that is cut off, empty, missing or something else is said to be so', async () => {
    await refused(await damaged((bytes) => bytes.subarray(0, 1000)), /rows\.parquet: cannot.*it is cut off/)
    await refused(await damaged(() => Buffer.from('a,b\n1,2\n3,4\n5,6')), /it is none/)
    await refused(await damaged(() => Buffer.alloc(0)), /it is none/)
    await refused(join(folder, 'nowhere.parquet'), /there is no such file; check the path in spec\.data/)
    await refused(fixture('table/day=2026-11-21/part-1.parquet'), /holds no rows/)
  })
  test('whose bytes are damaged, not UTF-8 or packed by LZ4 is refused, with the reason', async () => {
    await refused(await damaged((bytes) => bytes.fill(0xff, 4, 60)), /cannot be read as Parquet/)
    await refused(fixture('not-utf8.parquet'), /cannot be read as Parquet \(.*utf-8/i)
    await refused(fixture('lz4.parquet'), /unsupported compression codec: LZ4/)
  })
  test('whose page says that it has two thousand million values is refused', async () => {
    const lie = await damaged((bytes) => lieAboutValues(bytes))
    await refused(lie, /cannot be read as Parquet/)
  })
})

/** The first data page's number of values, field 1 of the struct in field 5 of its header (parquet.thrift), a varint of five bytes. */
function lieAboutValues(bytes: Buffer): Buffer {
  const header = bytes.indexOf(Buffer.from([0x2c, 0x15, 0x14]))
  assert(header > 0, 'no data page of ten values')
  const huge = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f])
  return Buffer.concat([bytes.subarray(0, header + 2), huge, bytes.subarray(header + 2 + huge.length)])
}
