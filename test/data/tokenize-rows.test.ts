import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ALPACA_TEMPLATE } from '../../src/data/alpaca-template.ts'
import { openRenderer } from '../../src/data/render-rows.ts'
import { readTokenizedRows, writeTokenizedRows } from '../../src/data/tokenized-rows.ts'
import { tokenizeRows, type TokenizeRowsOptions, type TokenizeSummary } from '../../src/data/tokenize-rows.ts'
import { CorruptError, InputError } from '../../src/errors.ts'
import { writeSafetensors } from '../../src/formats/safetensors.ts'
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { GEMMA, SMOLLM2 } from './chat-templates.ts'
import { clean, type CleanInput, EVAL, readJsonl, testFolder } from './data-folder.ts'
import { tinyTokenizer } from './tiny-tokenizer.ts'

const CHATML = { special: ['<|im_start|>'], eos: '<|im_end|>' }
const chatml = tinyTokenizer({ ...CHATML, chatTemplate: SMOLLM2 })
const withoutTemplate = tinyTokenizer(CHATML)
const withBos = tinyTokenizer({ bos: '<s>', eos: '</s>', addsBos: true })

interface Options extends Omit<CleanInput, 'settings'> {
  tokenizer: Tokenizer
  settings?: Partial<TokenizeRowsOptions['settings']>
  modelMaxPositions?: number
}

interface Tokenized {
  summary: TokenizeSummary
  outDir: string
  /** Each row as text, what is learnt of it between « and ». */
  train: string[]
}

async function tokenize({
  tokenizer,
  settings,
  modelMaxPositions = 8192,
  ...input
}: Options): Promise<Tokenized> {
  const { outDir: cleanDir } = await clean({ eval: EVAL, ...input })
  const outDir = join(testFolder(), 'out')
  mkdirSync(outDir)
  const reports: { rows: number; of?: number }[] = []
  const summary = await tokenizeRows({
    progress: (report) => reports.push(report),
    cleanDir,
    tokenizer,
    settings: {
      template: 'auto',
      maxLength: 1024,
      truncation: 'drop',
      completionOnlyLoss: true,
      ...settings,
    },
    modelMaxPositions,
    outDir,
  })
  const last = reports.at(-1)
  assert.ok(last && last.rows > 0 && last.rows === last.of)
  const rows = readTokenizedRows(join(outDir, 'train.safetensors'))
  const train = Array.from({ length: rows.count }, (_, row) => {
    const [ids, mask] = [[...rows.ids(row)], rows.lossMask(row)]
    const first = mask.indexOf(1)
    const end = mask.lastIndexOf(1) + 1
    assert.ok(mask.subarray(first, end).every((one) => one === 1))
    const [before, learnt, behind] = [ids.slice(0, first), ids.slice(first, end), ids.slice(end)]
    return `${tokenizer.decode(before)}«${tokenizer.decode(learnt)}»${tokenizer.decode(behind)}`
  })
  return { summary, outDir, train }
}

const ROW = { instruction: 'Hi', output: 'Yo' }
const TRAIN = { 'a.jsonl': [ROW, { instruction: 'And?', output: 'No' }] }
const ALPACA_START =
  'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n'

test('writes rows, ids, samples and the template, and says what was done', async () => {
  const { summary, outDir, train } = await tokenize({ tokenizer: chatml, train: TRAIN })
  const start =
    '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n'
  assert.deepEqual(train, [
    `${start}Hi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n`,
    `${start}And?<|im_end|>\n<|im_start|>assistant\n«No<|im_end|>»\n`,
  ])
  const rows = readTokenizedRows(join(outDir, 'train.safetensors'))
  const lengths = [rows.ids(0).length, rows.ids(1).length]
  assert.deepEqual(summary, {
    trainRows: 2,
    evalRows: 1,
    trainTokens: lengths.reduce((a, b) => a + b),
    supervisedTokens: 6,
    supervisedEndOfTurn: 2,
    longest: Math.max(...lengths),
    maxLength: 1024,
    dropped: 0,
    droppedFor: {},
    truncated: 0,
    templateName: 'model',
    template: "the model's own chat template",
    endOfTurn: '<|im_end|>',
    endOfTurnId: chatml.eos.id,
  })
  const { train: ids } = JSON.parse(readFileSync(join(outDir, 'rows.json'), 'utf8')) as { train: string[] }
  assert.equal(ids.length, 2)
  const samples = JSON.parse(readFileSync(join(outDir, 'samples.json'), 'utf8')) as Record<string, unknown>[]
  const prompt = `${start}held<|im_end|>\n<|im_start|>assistant\n`
  assert.deepEqual(samples, [
    { id: samples[0]?.['id'], question: 'held', prompt, promptIds: chatml.encode(prompt), reference: 'out' },
  ])
  assert.equal(readFileSync(join(outDir, 'chat-template.jinja'), 'utf8'), SMOLLM2)
  assert.deepEqual(readdirSync(outDir).sort(), [
    'chat-template.jinja',
    'dropped.jsonl',
    'eval.safetensors',
    'rows.json',
    'samples.json',
    'train.safetensors',
  ])
})

test('a model without chat template gets alpaca, and it is said', async () => {
  const { summary, train } = await tokenize({ tokenizer: withoutTemplate, train: TRAIN })
  assert.equal(train[0], `${ALPACA_START}Hi\n\n### Response:\n«Yo<|im_end|>»`)
  assert.equal(summary.templateName, 'alpaca')
  assert.equal(summary.template, 'the alpaca template (the model has no chat template of its own)')
})

test('alpaca gets BOS once where the tokenizer puts it, and the exported template has it too', async () => {
  const { train, outDir } = await tokenize({ tokenizer: withBos, train: TRAIN })
  assert.equal(train[0], `<s>${ALPACA_START}Hi\n\n### Response:\n«Yo</s>»`)
  assert.equal(readFileSync(join(outDir, 'chat-template.jinja'), 'utf8'), `{{ bos_token }}${ALPACA_TEMPLATE}`)
})

test('an inline template that writes BOS itself does not get another', async () => {
  const jinja = '{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}{{ eos_token }}'
  const { train } = await tokenize({ tokenizer: withBos, train: TRAIN, settings: { template: { jinja } } })
  assert.equal(train[0], '<s>[Hi][«Yo]</s>»')
})

test('text prompts and completions go through the model’s template, or as they are through an inline one', async () => {
  const train = { 'a.jsonl': [{ prompt: 'Q: x\nA:', completion: ' y' }] }
  const templated = await tokenize({ tokenizer: chatml, train })
  assert.match(
    templated.train[0] ?? '',
    /user\nQ: x\nA:<\|im_end\|>\n<\|im_start\|>assistant\n«y<\|im_end\|>»\n$/,
  )
  const jinja = '{% for m in messages %}{{ m.content }}{% endfor %}'
  const raw = await tokenize({ tokenizer: chatml, train, settings: { template: { jinja } } })
  assert.equal(raw.train[0], 'Q: x\nA:« y<|im_end|>»')
  assert.equal(raw.summary.templateName, 'inline')
})

test('without completionOnlyLoss the whole row is learnt', async () => {
  const { train, summary } = await tokenize({
    tokenizer: withBos,
    train: TRAIN,
    settings: { completionOnlyLoss: false },
  })
  assert.equal(train[0], `<s>«${ALPACA_START}Hi\n\n### Response:\nYo</s>»`)
  assert.equal(summary.supervisedTokens, summary.trainTokens - summary.trainRows)
  assert.equal(summary.supervisedEndOfTurn, 2)
})

const long = { 'a.jsonl': [ROW, { instruction: 'Hi', output: 'Yo '.repeat(100) }] }
const chat = '{% for m in messages %}{{ m.content }} {% endfor %}'

test('a longer row is dropped, counted and recorded', async () => {
  const { summary, outDir, train } = await tokenize({
    tokenizer: chatml,
    train: long,
    settings: { template: { jinja: chat }, maxLength: 20 },
  })
  assert.deepEqual(train, ['Hi «Yo<|im_end|>»'])
  assert.equal(summary.dropped, 1)
  assert.deepEqual(summary.droppedFor, { 'longer than maxLength': 1 })
  const [dropped] = readJsonl(join(outDir, 'dropped.jsonl'))
  assert.deepEqual(dropped, {
    at: 'a.jsonl:2',
    id: dropped?.['id'],
    side: 'train',
    reason: 'longer than maxLength',
    tokens: 303,
  })
})

test('or cut off at its end, as TRL does; the model’s own limit counts too', async () => {
  const { summary, train } = await tokenize({
    tokenizer: chatml,
    train: long,
    settings: { template: { jinja: chat }, truncation: 'truncate' },
    modelMaxPositions: 9,
  })
  assert.deepEqual(train, ['Hi «Yo<|im_end|>»', 'Hi «Yo Yo »'])
  assert.equal(summary.maxLength, 9)
  assert.equal(summary.truncated, 1)
  assert.equal(summary.supervisedEndOfTurn, 1)
})

const bad: { name: string; options: Omit<Options, 'tokenizer'> & { tokenizer?: Tokenizer }; want: RegExp }[] =
  [
    {
      name: 'rows that are all too long',
      options: { settings: { maxLength: 4, template: { jinja: chat } } },
      want: /^All 2 training rows are longer than 4 tokens \(the shortest has 6\); raise spec\.data\.maxLength or set/,
    },
    {
      name: 'evaluation rows that are all too long',
      options: { settings: { maxLength: 7, template: { jinja: chat } } },
      want: /^All 1 evaluation rows are longer than 7 tokens \(the shortest has 8\)/,
    },
    {
      name: 'rows with no token left to learn',
      options: { settings: { maxLength: 20, truncation: 'truncate' } },
      want: /^None of the 2 training rows has a token left to learn \(no answer token within maxLength: 2\); raise/,
    },
    {
      name: 'rows that all lose their end of turn',
      options: { settings: { maxLength: 4, truncation: 'truncate', template: { jinja: chat } } },
      want: /^None of the 1 training rows teaches the end of an answer \("<\|im_end\|>"\): 1 of them are cut off/,
    },
    {
      name: 'the model’s template where it has none',
      options: { tokenizer: withoutTemplate, settings: { template: 'model' } },
      want: /^spec\.data\.template: the model has no chat template of its own; choose alpaca/,
    },
    {
      name: 'a template that does not parse',
      options: { settings: { template: { jinja: '{% for %}' } } },
      want: /^spec\.data\.template: the spec's template is no valid Jinja \(.+\); mend it/,
    },
    {
      name: 'a template that prints no answer',
      options: { settings: { template: { jinja: '{{ messages[0].content }}' } } },
      want: /^spec\.data\.template: the spec's template does not print what the assistant answers/,
    },
    {
      name: 'a row that the template refuses',
      options: {
        tokenizer: tinyTokenizer({
          special: ['<end_of_turn>'],
          bos: '<bos>',
          eos: '<eos>',
          chatTemplate: GEMMA,
        }),
        train: {
          'a.jsonl': [
            {
              messages: [
                { role: 'system', content: 's' },
                { role: 'user', content: 'a' },
                { role: 'assistant', content: 'b' },
              ],
            },
          ],
        },
      },
      want: /^a\.jsonl:1: the model's own chat template fails on this row \(System role not supported\); mend the row/,
    },
  ]

for (const { name, options, want } of bad)
  test(`refuses ${name}`, async () => {
    await assert.rejects(
      tokenize({ tokenizer: chatml, train: TRAIN, ...options }),
      (error) => error instanceof InputError && (assert.match(error.message, want), true),
    )
  })

const hostile: { name: string; source: string; want: RegExp }[] = [
  {
    name: 'never ends',
    // Short ranges: a long one fills the small heap before a fast machine has spent its time.
    source:
      '{% for a in range(99) %}{% for b in range(99) %}{% for c in range(99) %}{% for d in range(99) %}{% for e in range(99) %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}',
    want: /it takes longer than 0\.5 seconds/,
  },
  {
    name: 'fills the memory',
    source:
      '{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a | length }}',
    want: /needs more than 32 MiB of memory|takes longer/,
  },
  {
    name: 'prints without end',
    source:
      "{% set ns = namespace(a='xx') %}{% for i in range(26) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}",
    want: /it makes more than 33554432 characters|needs more than 32 MiB/,
  },
  {
    name: 'asks for a huge range',
    source: '{{ range(10000000000) | length }}',
    want: /range\(0, 10000000000, 1\) is too long/,
  },
  {
    name: 'calls itself',
    source: '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
    want: /fails on this row/,
  },
  {
    name: 'reaches for the machine',
    source: "{{ messages.constructor('return process')() }}",
    want: /fails on this row/,
  },
]

for (const { name, source, want } of hostile)
  test(`a template that ${name} is refused, and this process lives on`, async () => {
    const renderer = openRenderer(
      { bosToken: '', eosToken: '', padToken: '' },
      { milliseconds: 500, heap: 32 },
    )
    try {
      const rows = [{ at: 'a.jsonl:1', messages: [{ role: 'user' as const, content: 'x' }] }]
      await assert.rejects(
        renderer.render({ source, label: 'the template' }, rows),
        (error) => error instanceof InputError && (assert.match(error.message, want), true),
      )
    } finally {
      renderer.close()
    }
  })

test('tokenized rows come back as they were written, and damaged ones do not', async () => {
  const path = join(testFolder(), 'rows.safetensors')
  const ids = [Int32Array.of(1, 2, 3), Int32Array.of(), Int32Array.of(4)]
  const masks = ids.map((row) => Uint8Array.from(row, (id) => id % 2))
  const part =
    <T>(list: T[]) =>
    (row: number): T =>
      list[row] ?? assert.fail(`row ${row}`)
  await writeTokenizedRows(path, { count: 3, ids: part(ids), lossMask: part(masks) })
  const back = readTokenizedRows(path)
  assert.equal(back.count, 3)
  for (const row of [0, 1, 2]) {
    assert.deepEqual(back.ids(row), ids[row])
    assert.deepEqual(back.lossMask(row), masks[row])
  }
  assert.throws(() => back.ids(3), RangeError)
  await writeSafetensors(path, [
    { name: 'input_ids', type: 'I32', shape: [2], data: Int32Array.of(1, 2) },
    { name: 'loss_mask', type: 'U8', shape: [2], data: Uint8Array.of(0, 1) },
    { name: 'offsets', type: 'I64', shape: [3], data: BigInt64Array.of(0n, 3n, 2n) },
  ])
  assert.throws(() => readTokenizedRows(path), CorruptError)
})
