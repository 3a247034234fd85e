import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cleanRows } from '../../src/data/clean-rows.ts'
import { InputError, StoppedError } from '../../src/errors.ts'
import { clean, type CleanInput, EVAL, SETTINGS, testFolder } from './data-folder.ts'

const question = (content: string) => ({ role: 'user', content })
const answer = (content: string) => ({ role: 'assistant', content })

const formats: {
  name: string
  row: Record<string, unknown>
  settings?: CleanInput['settings']
  want: Record<string, unknown>
  format: string
}[] = [
  {
    name: 'alpaca',
    row: { instruction: ' Say <b>hi</b> ', input: '', output: 'hi' },
    want: { messages: [question('Say hi'), answer('hi')] },
    format: 'alpaca',
  },
  {
    name: 'alpaca with an input',
    row: { instruction: 'Add.', input: '1 2', output: 3, id: 7 },
    want: {
      messages: [{ ...question('Add.\n\n1 2'), instruction: 'Add.', input: '1 2' }, answer('3')],
    },
    format: 'alpaca',
  },
  {
    name: 'messages, with OpenAI’s weights, parts and developer role',
    row: {
      prompt: 'a stray field',
      messages: [
        { role: 'developer', content: 'S' },
        question('a'),
        { ...answer('b'), weight: 0 },
        { role: 'user', content: [{ type: 'text', text: 'c' }] },
        { ...answer('d'), weight: 1, name: 'x' },
      ],
    },
    want: {
      messages: [
        { role: 'system', content: 'S' },
        question('a'),
        { ...answer('b'), weight: 0 },
        question('c'),
        answer('d'),
      ],
    },
    format: 'messages',
  },
  {
    name: 'ShareGPT conversations',
    row: {
      conversations: [
        { from: 'human', value: 'a' },
        { from: 'gpt', value: 'b' },
      ],
    },
    want: { messages: [question('a'), answer('b')] },
    format: 'messages',
  },
  {
    name: 'prompt and completion as text, the blank between them kept',
    row: { prompt: ' Q: a\nA:', completion: ' b ' },
    want: { prompt: 'Q: a\nA:', completion: ' b' },
    format: 'prompt-completion',
  },
  {
    name: 'prompt and completion as messages: answers in the prompt are context',
    row: { prompt: [question('a'), answer('b'), question('c')], completion: [answer('d')] },
    want: { messages: [question('a'), { ...answer('b'), weight: 0 }, question('c'), answer('d')] },
    format: 'prompt-completion',
  },
  {
    name: 'other field names, mapped',
    row: { q: 'a', a: 'b', s: 'S' },
    settings: { columns: { prompt: 'q', completion: 'a', system: 's' } },
    want: { messages: [{ role: 'system', content: 'S' }, question('a'), answer('b')] },
    format: 'prompt-completion',
  },
  {
    name: 'the format that the spec names, not the one that comes first',
    row: { prompt: 'x', completion: 'y', instruction: 'a', output: 'b' },
    settings: { format: 'alpaca' },
    want: { messages: [question('a'), answer('b')] },
    format: 'alpaca',
  },
]

for (const { name, row, settings, want, format } of formats)
  test(`recognises ${name}`, async () => {
    const { train, summary } = await clean({
      train: { 'a.jsonl': [row] },
      eval: EVAL,
      ...(settings && { settings }),
    })
    const [first] = train
    assert.deepEqual(first, { id: first?.['id'], at: 'a.jsonl:1', ...want })
    assert.match(String(first?.['id']), /^[0-9a-f]{16}$/)
    assert.ok(summary.format.split(' + ').includes(format))
  })

const alpaca = { instruction: 'a', output: 'b' }
const bad: { name: string; input: CleanInput; want: RegExp }[] = [
  {
    name: 'a row without an answer',
    input: { train: { 'a.jsonl': [alpaca, { instruction: 'c', input: 'd' }] } },
    want: /^a\.jsonl:2: the row has no answer: "output" is missing \(alpaca row with fields instruction, input\); add it/,
  },
  {
    name: 'a first row without an answer',
    input: { train: { 'a.jsonl': [{ instruction: 'c' }] } },
    want: /^a\.jsonl:1: the row has no answer: "output" is missing/,
  },
  {
    name: 'an answer that is null',
    input: { train: { 'a.json': JSON.stringify([alpaca, { ...alpaca, output: null }]) } },
    want: /^a\.json:2: the row has no answer/,
  },
  {
    name: 'a conversation without an answer',
    input: { train: { 'a.jsonl': [{ messages: [question('a')] }] } },
    want: /^a\.jsonl:1: the row has no answer: none of its 1 messages is by the assistant/,
  },
  {
    name: 'a row without a question',
    input: { train: { 'a.jsonl': [alpaca, { output: 'b' }] } },
    want: /^a\.jsonl:2: the row has no "instruction" \(fields: output\)/,
  },
  {
    name: 'a row that is no object',
    input: { train: { 'a.json': '[{"instruction":"a","output":"b"}, ["a", "b"]]' } },
    want: /^a\.json:2: the row must be an object with fields, but is a list/,
  },
  {
    name: 'a wrong type',
    input: { train: { 'a.jsonl': [{ instruction: 'a', output: { text: 'b' } }] } },
    want: /^a\.jsonl:1: "output" must be text, but is an object/,
  },
  {
    name: 'a message of an unknown role',
    input: {
      train: { 'a.jsonl': [{ messages: [question('a'), { role: 'tool', content: 'b' }, answer('c')] }] },
    },
    want: /^a\.jsonl:1: "messages", message 2 has the role "tool"; known are/,
  },
  {
    name: 'a message without content',
    input: { train: { 'a.jsonl': [{ messages: [question('a'), { role: 'assistant' }] }] } },
    want: /^a\.jsonl:1: "messages", message 2: "content" must be text, but is missing/,
  },
  {
    name: 'messages that are no list',
    input: { train: { 'a.jsonl': [{ messages: 'a' }] } },
    want: /^a\.jsonl:1: "messages" must be a list of messages/,
  },
  {
    name: 'tool calls',
    input: { train: { 'a.jsonl': [{ messages: [question('a'), { ...answer('b'), tool_calls: [{}] }] }] } },
    want: /^a\.jsonl:1: "messages", message 2 holds "tool_calls", and tool calls are not supported/,
  },
  {
    name: 'pictures',
    input: {
      train: { 'a.jsonl': [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }, answer('b')] }] },
    },
    want: /^a\.jsonl:1: "messages", message 1 has a part that is no text/,
  },
  {
    name: 'mixed formats',
    input: { train: { 'a.jsonl': [alpaca, { messages: [question('a'), answer('b')] }] } },
    want: /^a\.jsonl:2: the row is messages while its file is alpaca \(fields here: messages\)/,
  },
  {
    name: 'fields of no known format',
    input: { train: { 'a.csv': 'question,answer\nx,y\n' } },
    want: /^a\.csv:2: the fields question, answer are of no known format; supported are alpaca \(instruction, input, output\), messages .* and prompt-completion \(prompt, completion\), or name your fields in spec\.data\.columns/,
  },
  {
    name: 'a mapped field that no row has',
    input: {
      train: { 'a.jsonl': [{ q: 'a', a: 'b' }] },
      settings: { columns: { prompt: 'q', completion: 'reply' } },
    },
    want: /^a\.jsonl:1: the row has no answer: "reply" is missing/,
  },
  {
    name: 'nothing left to train on',
    input: {
      train: {
        'a.jsonl': [
          { ...alpaca, output: ' ' },
          { ...alpaca, output: '' },
        ],
      },
    },
    want: /^a\.jsonl: no row is left to train on \(removed of 3 rows: empty answer: 2\)/,
  },
  {
    name: 'nothing left to evaluate on',
    input: { train: { 'a.jsonl': [alpaca] }, eval: { 'e.jsonl': [{ instruction: 'c', output: '' }] } },
    want: /^e\.jsonl: no row is left to evaluate on/,
  },
  {
    name: 'too few rows to hold any out',
    input: { train: { 'a.jsonl': [alpaca] }, eval: {} },
    want: /^a\.jsonl: none of the 1 rows falls into the 10 % held out/,
  },
]

for (const { name, input, want } of bad)
  test(`refuses ${name}`, async () => {
    await assert.rejects(
      clean({ eval: EVAL, ...input }),
      (error) => error instanceof InputError && (assert.match(error.message, want), true),
    )
  })

test('counts each removed row and keeps it with its reason', async () => {
  const { summary, train, removed } = await clean({
    train: {
      'a.jsonl': [
        { instruction: 'a', output: 'long enough' },
        { instruction: ' a', output: '<p>long enough</p>' },
        { instruction: 'a', output: '&nbsp; ' },
        { instruction: 'a', output: 'short' },
        { instruction: '', output: 'long enough' },
        { instruction: 'held', output: 'out of train' },
      ],
      'b.jsonl': [{ messages: [question('x'), { ...answer('long enough'), weight: 0 }] }],
    },
    eval: {
      'e.jsonl': [
        { instruction: 'held', output: 'out of train' },
        { instruction: 'held', output: 'out of train' },
      ],
    },
    settings: { clean: { html: 'strip', deduplicate: 'exact', minAnswerCharacters: 6 } },
  })
  assert.deepEqual(summary, {
    format: 'alpaca + messages',
    read: 9,
    kept: 2,
    removed: {
      duplicate: 2,
      'empty answer': 1,
      'answer too short': 1,
      'empty question': 1,
      'also in the evaluation rows': 1,
      'no answer with a weight above 0': 1,
    },
    htmlStripped: 0,
    train: 1,
    eval: 1,
  })
  assert.deepEqual(
    train.map((row) => row['at']),
    ['a.jsonl:1'],
  )
  assert.deepEqual(removed[1], {
    at: 'a.jsonl:2',
    reason: 'duplicate',
    row: { instruction: ' a', output: '<p>long enough</p>' },
  })
  assert.deepEqual(
    removed.map((row) => row['at']),
    ['e.jsonl:2', 'a.jsonl:2', 'a.jsonl:3', 'a.jsonl:4', 'a.jsonl:5', 'a.jsonl:6', 'b.jsonl:1'],
  )
})

test('keeps HTML and duplicates where the spec says so', async () => {
  const row = { instruction: 'a', output: '<b>b</b>' }
  const { train } = await clean({
    train: { 'a.jsonl': [row, row] },
    eval: EVAL,
    settings: { clean: { html: 'keep', deduplicate: 'none', minAnswerCharacters: 1 } },
  })
  assert.equal(train.length, 2)
  assert.deepEqual(train[1]?.['messages'], [question('a'), answer('<b>b</b>')])
})

test('a row stays on its side when rows are added, and the share is about what was asked', async () => {
  const rows = Array.from({ length: 2000 }, (_, index) => ({
    prompt: `question ${index}`,
    completion: 'yes',
  }))
  const some = await clean({ train: { 'a.jsonl': rows.slice(0, 1000) } })
  const all = await clean({ train: { 'b.jsonl': rows.toReversed() } })
  const ids = (list: Record<string, unknown>[]) => new Set(list.map((row) => row['id']))
  const [held, learnt] = [ids(all.eval), ids(all.train)]
  for (const id of ids(some.eval)) assert.ok(held.has(id) && !learnt.has(id))
  for (const id of ids(some.train)) assert.ok(learnt.has(id) && !held.has(id))
  assert.equal(all.summary.eval + all.summary.train, 2000)
  assert.ok(all.summary.eval > 150 && all.summary.eval < 250, `${all.summary.eval} of 2000`)
})

test('the same rows give the same bytes', async () => {
  const input = { train: { 'a.jsonl': [alpaca] }, eval: EVAL }
  const [one, two] = [await clean(input), await clean(input)]
  assert.deepEqual(one.train, two.train)
  assert.equal(one.train[0]?.['id'], 'bd87b5e2dc77404f')
})

test('after a failure nothing is left in the folder', async () => {
  const folder = testFolder()
  const source = { name: 'none.jsonl', path: join(folder, 'none.jsonl') }
  await assert.rejects(
    cleanRows({ sources: [source], evalSources: [], settings: SETTINGS, outDir: folder }),
    InputError,
  )
  assert.deepEqual(readdirSync(folder), [])
})

test('a stop is heeded between rows, and says so', async () => {
  const folder = testFolder()
  const path = join(folder, 'a.csv')
  writeFileSync(path, `prompt,completion\n${'a,b\n'.repeat(500)}`)
  const stop = new AbortController()
  const reports: number[] = []
  await assert.rejects(
    cleanRows({
      sources: [{ name: 'a.csv', path }],
      evalSources: [],
      settings: SETTINGS,
      outDir: folder,
      signal: stop.signal,
      progress: ({ rows }) => {
        reports.push(rows)
        if (reports.length === 2) stop.abort()
      },
    }),
    StoppedError,
  )
  assert.deepEqual(reports, [64, 128])
  assert.ok(!existsSync(join(folder, 'train.jsonl')))
})
