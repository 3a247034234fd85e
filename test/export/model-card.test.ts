import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parse } from 'yaml'
import { writeModelCard, type ModelCard } from '../../src/export/write-model-card.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-card-'))
after(() => rmSync(parent, { recursive: true }))

const card: ModelCard = {
  name: 'kubernetes_api',
  version: 3,
  base: { source: 'hf://owner/model', revision: 'c0ffee', digest: 'd1ge57' },
  data: {
    train: ['a|b.jsonl'],
    trainRows: 90,
    evalRows: 10,
    removed: { duplicate: 4, 'no answer': 0 },
    template: "the model's own chat template",
  },
  method: 'lora',
  training: {
    settings: { r: 16, targetModules: ['q_proj'] },
    steps: 22,
    epochs: 1,
    trainedTokens: 5000,
    supervisedTokens: 2000,
    seconds: 61.4,
  },
  evaluation: {
    base: { loss: 2, perplexity: 7.389, tokenAccuracy: 0.5 },
    tuned: { loss: 1, perplexity: 2.718, tokenAccuracy: 0.7512 },
    'gguf-q8_0': { loss: 1.01 },
  },
  samples: [
    {
      question: 'What is a Pod?',
      reference: 'The smallest unit.',
      answers: { base: '```\ncode\n```', tuned: 'A group of containers.' },
    },
  ],
  files: [{ name: 'model.Q8_0.gguf', what: 'for llama.cpp' }],
}

async function text(change: Partial<ModelCard> = {}): Promise<string> {
  const path = join(parent, 'README.md')
  await writeModelCard(path, { ...card, ...change })
  return readFileSync(path, 'utf8')
}

test('a card says what was measured', async () => {
  const markdown = await text()
  const front = parse(/^---\n([\s\S]*?)\n---/.exec(markdown)?.[1] ?? '') as Record<string, unknown>
  assert.equal(front.base_model, 'owner/model')
  assert.match(markdown, /# kubernetes\\_api, version 3/)
  assert.match(markdown, /\| tuned \| 1\.0000 \| 2\.718 \| 75\.1 % \|/)
  assert.match(markdown, /\| gguf-q8\\_0 \| 1\.0100 \| 2\.746 \| {2}\|/)
  assert.match(markdown, /\| duplicate \| 4 \|/)
  assert(!markdown.includes('no answer'), 'nothing was left out for this reason')
  assert.match(markdown, /22 steps over 1 epochs, 5000 tokens seen, 2000 of them trained on, 61 seconds/)
})

test('text of the model or the user cannot break out of its place', async () => {
  const markdown = await text()
  assert.match(markdown, /````text\n```\ncode\n```\n````/)
  assert.match(markdown, /a\\\|b\.jsonl/)
  assert.match(await text({ name: '# x\n<script>' }), /# \\# x \\<script\\>, version 3/)
})

test('a publication that was approved says by whom', async () => {
  assert.match(
    await text({ approval: 'approved by anna: *fine* (now)' }),
    /^Publication approved by anna: \\\*fine\\\* \(now\)\.$/m,
  )
  assert(!(await text()).includes('Publication'))
})

test('a local base has no hub name in the front matter', async () => {
  assert(!(await text({ base: { source: '/models/tiny', digest: 'd' } })).includes('base_model'))
})
