import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readRows } from '../../src/data/read-rows.ts'
import { InputError } from '../../src/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'temper-readers-'))
after(() => rmSync(folder, { recursive: true }))

async function read(name: string, content: string | Buffer): Promise<[string, unknown][]> {
  const path = join(folder, name)
  writeFileSync(path, content)
  const rows: [string, unknown][] = []
  for await (const { at, value } of readRows({ name, path })) rows.push([at, value])
  return rows
}

const good: { name: string; file: string; content: string | Buffer; want: [string, unknown][] }[] = [
  {
    name: 'JSON Lines: byte order mark, CRLF, blank lines, no line feed at the end',
    file: 'a.jsonl',
    content: '\ufeff{"a":1}\r\n\r\n{"a":"é"}',
    want: [
      ['a.jsonl:1', { a: 1 }],
      ['a.jsonl:3', { a: 'é' }],
    ],
  },
  {
    name: 'a JSON list over several lines, brackets and quotes inside of texts',
    file: 'a.json',
    content: '[\n {"a": "]}\\"\\\\", "b": [1, {"c": []}]},\n\t{"a": 2} ]\n',
    want: [
      ['a.json:1', { a: ']}"\\', b: [1, { c: [] }] }],
      ['a.json:2', { a: 2 }],
    ],
  },
  {
    name: 'the one list in a JSON object',
    file: 'b.json',
    content: '{"version": 1.5, "rows": [{"a": 1}], "meta": {"list": [1, 2]}, "done": true}',
    want: [['b.json:1', { a: 1 }]],
  },
  {
    name: 'JSON Lines under the name .json',
    file: 'c.json',
    content: '{"a":[1]}\n{"a":[2]}\n',
    want: [
      ['c.json:1', { a: [1] }],
      ['c.json:2', { a: [2] }],
    ],
  },
  {
    name: 'CSV: quotes, separators and line feeds in values, numbered as in a spreadsheet',
    file: 'a.csv',
    content: 'question,answer\r\n"x,\ny","say ""hi"""\r\n1,\r\n',
    want: [
      ['a.csv:2', { question: 'x,\ny', answer: 'say "hi"' }],
      ['a.csv:3', { question: '1', answer: '' }],
    ],
  },
  {
    name: 'CSV with semicolons, as spreadsheets write it in half of Europe',
    file: 'b.csv',
    content: 'q;a\n"1;2";x, y\n',
    want: [['b.csv:2', { q: '1;2', a: 'x, y' }]],
  },
  { name: 'tabs', file: 'c.tsv', content: 'q\ta\nx\ty\n', want: [['c.tsv:2', { q: 'x', a: 'y' }]] },
]

for (const { name, file, content, want } of good)
  test(`reads ${name}`, async () => assert.deepEqual(await read(file, content), want))

const LONG = 'x'.repeat(16 * 1024 * 1024 + 1)

const bad: { name: string; file: string; content: string | Buffer; want: RegExp }[] = [
  { name: 'an empty file', file: 'a.jsonl', content: '', want: /^a\.jsonl: is empty; put rows/ },
  {
    name: 'white space only',
    file: 'a.json',
    content: ' \n',
    want: /^a\.json: holds nothing but white space/,
  },
  { name: 'a list without rows', file: 'a.json', content: '[]', want: /^a\.json: holds no rows/ },
  { name: 'a header without rows', file: 'a.csv', content: 'q,a\n', want: /^a\.csv: holds no rows/ },
  {
    name: 'a byte that is not UTF-8, named by its offset in the file',
    file: 'a.jsonl',
    content: Buffer.concat([Buffer.from('\ufeff{"a":"€"}\n{"b":"'), Buffer.from([0xe9]), Buffer.from('"}')]),
    want: /^a\.jsonl: is not UTF-8 at byte 21; save the file as UTF-8$/,
  },
  {
    name: 'a file that ends within a character',
    file: 'a.jsonl',
    content: Buffer.from('{"a":"€').subarray(0, 8),
    want: /^a\.jsonl: is not UTF-8 at byte 6/,
  },
  { name: 'UTF-16', file: 'a.csv', content: Buffer.from('\ufeffq,a', 'utf16le'), want: /^a\.csv: is UTF-16/ },
  {
    name: 'JSON cut off',
    file: 'a.json',
    content: '[{"a":1},\n{"a":',
    want: /^a\.json: is cut off in line 2, after row 1; get the whole file/,
  },
  {
    name: 'JSON Lines cut off',
    file: 'a.jsonl',
    content: '{"a":1}\n{"a":"b',
    want: /^a\.jsonl:2: the last line is cut off or no JSON/,
  },
  {
    name: 'CSV cut off',
    file: 'a.csv',
    content: 'q,a\n1,2\n3,"x\n',
    want: /^a\.csv:3: a quoted value is never closed/,
  },
  {
    name: 'a line that is not JSON',
    file: 'a.jsonl',
    content: "{'a': 1}\n{}\n",
    want: /^a\.jsonl:1: the line is not JSON .*; put one whole JSON object on each line$/,
  },
  {
    name: 'a row that is not JSON',
    file: 'a.json',
    content: '[{"a":1},\n\n{"b":tru}]',
    want: /^a\.json:2: the row that begins in line 3 is not JSON/,
  },
  {
    name: 'a missing comma',
    file: 'a.json',
    content: '[{"a":1}\n{"b":2}]',
    want: /^a\.json: line 2 is not JSON: "," or "\]" is expected after row 1/,
  },
  {
    name: 'more behind the end',
    file: 'a.json',
    content: '[{}] x',
    want: /nothing more is expected after row 1/,
  },
  {
    name: 'one object instead of rows',
    file: 'a.json',
    content: '{"instruction": "x", "output": "y"}',
    want: /^a\.json: holds one object without a list of rows \(fields: instruction, output\)/,
  },
  {
    name: 'an object with two lists',
    file: 'a.json',
    content: '{"train": [{}], "test": [{}]}',
    want: /^a\.json: has more than one list \(train, test\)/,
  },
  {
    name: 'a row with too many values',
    file: 'a.csv',
    content: 'q,a\n1,2\n1,2,3\n',
    want: /^a\.csv:3: the row \(line 3\) has another number of values than the header/,
  },
  {
    name: 'a column twice',
    file: 'a.csv',
    content: 'q, q\n1,2\n',
    want: /^a\.csv:1: two columns are named "q"/,
  },
  {
    name: 'a huge line',
    file: 'a.jsonl',
    content: LONG,
    want: /^a\.jsonl:1: the line is longer than 16777216 bytes/,
  },
  {
    name: 'a huge value',
    file: 'a.json',
    content: `["${LONG}`,
    want: /^a\.json: the value that begins in line 1 is longer/,
  },
  {
    name: 'a huge CSV row',
    file: 'a.csv',
    content: `q,a\n${LONG},1\n`,
    want: /^a\.csv:2: the row is longer than/,
  },
  {
    name: 'an unknown kind of file',
    file: 'a.xlsx',
    content: 'PAR1',
    want: /^a\.xlsx: the kind of file is not known/,
  },
]

for (const { name, file, content, want } of bad)
  test(`refuses ${name}`, async () => {
    await assert.rejects(
      read(file, content),
      (error) => error instanceof InputError && want.test(error.message),
    )
  })

test('refuses a file that is not there, and a folder', async () => {
  const rows = (path: string) => readRows({ name: 'data/a.json', path }).next()
  await assert.rejects(rows(join(folder, 'none.json')), {
    name: 'InputError',
    message: 'data/a.json: there is no such file; check the path in spec.data',
  })
  await assert.rejects(rows(folder), { name: 'InputError', message: /^data\/a\.json: is a folder/ })
})

test('rows over many pieces of a file keep their bytes and numbers', async () => {
  const values = Array.from({ length: 3000 }, (_, index) => ({ text: 'é€😀'.repeat(index % 50), index }))
  const lines = await read('long.jsonl', values.map((value) => JSON.stringify(value)).join('\n'))
  assert.deepEqual(
    lines.map(([, value]) => value),
    values,
  )
  const list = await read('long.json', JSON.stringify(values, undefined, 1))
  assert.deepEqual(
    list.map(([, value]) => value),
    values,
  )
  assert.equal(list.at(-1)?.[0], 'long.json:3000')
})
