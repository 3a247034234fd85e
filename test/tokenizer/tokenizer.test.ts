import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError } from '../../src/errors.ts'
import type { JsonObject } from '../../src/formats/json-file.ts'
import { createTokenizer } from '../../src/tokenizer/create-tokenizer.ts'
import { referenceTokenizer, referenceTokenizers } from './reference-cases.ts'

for (const [kind, { cases }] of Object.entries(referenceTokenizers)) {
  const tokenizer = referenceTokenizer(kind)

  test(`${kind}: the ids and the text back are those of the reference, ${cases.length} texts`, () => {
    for (const { text, ids, decoded } of cases) {
      assert.deepEqual(tokenizer.encode(text), ids, text)
      assert.equal(tokenizer.decode(ids), decoded, text)
    }
  })

  test(`${kind}: the tokens cover the text from end to end, without a hole`, () => {
    for (const { text } of cases) {
      const { ids, offsets } = tokenizer.encodeWithOffsets(text)
      assert.equal(ids.length, offsets.length)
      let reached = 0
      for (const [start, end] of offsets) {
        assert(
          start <= reached && end >= reached && start <= end,
          `${JSON.stringify(text)}: ${String(offsets)}`,
        )
        reached = end
      }
      assert.equal(reached, text.length, text)
    }
  })
}

/** The text of each token, by its offsets. */
function covered(kind: string, text: string): string[] {
  return referenceTokenizer(kind)
    .encodeWithOffsets(text)
    .offsets.map(([start, end]) => text.slice(start, end))
}

test('the bytes of one character all cover it', () => {
  assert.deepEqual(covered('smollm', 'a😀b'), ['a', '😀', '😀', '😀', '😀', 'b'])
})

test('offsets count in the text as written, not in its normal form', () => {
  // e + combining acute is one character of two bytes in NFC; what follows keeps its place.
  assert.deepEqual(covered('qwen2', 'e\u0301<|im_end|>x'), ['e\u0301', 'e\u0301', '<|im_end|>', 'x'])
  // Hangul letters compose to one syllable of three bytes.
  assert.deepEqual(covered('qwen2', '\u1100\u1161\u11a8.').slice(-2), ['\u1100\u1161\u11a8', '.'])
})

test('the space that a SentencePiece tokenizer puts in front covers nothing', () => {
  const { offsets } = referenceTokenizer('sentencepiece').encodeWithOffsets('日')
  assert.deepEqual(offsets, [[0, 0], [0, 1], [0, 1], [0, 1]]) // prettier-ignore
})

test('an added token takes the white space behind it along where it says so', () => {
  assert.deepEqual(covered('gpt-2', 'a<call> \n b').slice(0, 2), ['a', '<call> \n '])
})

test('a lone surrogate does not break the offsets', () => {
  const { offsets } = referenceTokenizer('smollm').encodeWithOffsets('a\ud800b')
  assert.deepEqual(offsets, [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]) // prettier-ignore
})

test('special tokens, BOS and the chat template come from tokenizer_config.json', () => {
  const tokenizer = referenceTokenizer('llama-bpe', {
    bos_token: { content: '<|im_start|>' },
    pad_token: '<|endoftext|>',
    add_bos_token: true,
    chat_template: [
      { name: 'tool_use', template: 'other' },
      { name: 'default', template: '{{ messages }}' },
    ],
  })
  assert.deepEqual(tokenizer.bos, { token: '<|im_start|>', id: 1 })
  assert.deepEqual(tokenizer.eos, { token: '<|im_end|>', id: 2 })
  assert.deepEqual(tokenizer.pad, { token: '<|endoftext|>', id: 0 })
  assert.equal(tokenizer.addsBos, true)
  assert.equal(tokenizer.chatTemplate, '{{ messages }}')
  assert.equal(tokenizer.decode([1, 2], { skipSpecialTokens: true }), '')
  assert.equal(tokenizer.decode([]), '')
  assert.equal(tokenizer.decode([tokenizer.vocabularySize + 5]), '', "an id of the embedding's padding")
})

test('a post-processor that puts BOS in front is seen, and encode still adds nothing', () => {
  const { tokenizer } = referenceTokenizers['llama-bpe'] ?? assert.fail()
  const single = [{ SpecialToken: { id: '<|im_start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }]
  const withBos = createTokenizer({
    tokenizer: {
      ...tokenizer,
      post_processor: { type: 'Sequence', processors: [{ type: 'TemplateProcessing', single }] },
    },
    tokenizerConfig: { bos_token: '<|im_start|>', eos_token: '<|im_end|>' },
    where: 'tokenizer.json',
  })
  assert.equal(withBos.addsBos, true)
  assert.deepEqual(withBos.encode('a'), referenceTokenizer('llama-bpe').encode('a'))
})

test('without an eos_token the id of config.json is taken, and without either it is refused', () => {
  const { tokenizer } = referenceTokenizers.smollm ?? assert.fail()
  const source = { tokenizer, tokenizerConfig: {}, where: 'tokenizer.json' }
  assert.deepEqual(createTokenizer({ ...source, eosTokenId: 2 }).eos, { token: '<|im_end|>', id: 2 })
  assert.throws(() => createTokenizer(source), /no eos_token is named/)
})

const good = referenceTokenizers.smollm?.tokenizer ?? {}
const model = good.model as JsonObject
const refused: { name: string; tokenizer: JsonObject; want: RegExp }[] = [
  { name: 'no model', tokenizer: { ...good, model: null }, want: /has no model/ },
  {
    name: 'another model',
    tokenizer: { ...good, model: { type: 'Unigram' } },
    want: /its model is "Unigram", supported is BPE/,
  },
  {
    name: 'an id that is no number',
    tokenizer: { ...good, model: { ...model, vocab: { a: 'x' } } },
    want: /the token "a" has no valid id/,
  },
  {
    name: 'an id of 10^12',
    tokenizer: { ...good, model: { ...model, vocab: { a: 1e12 } } },
    want: /no valid id/,
  },
  {
    name: 'a broken merge',
    tokenizer: { ...good, model: { ...model, merges: [['a']] } },
    want: /something else than pairs/,
  },
  {
    name: 'a broken added token',
    tokenizer: { ...good, added_tokens: [{ id: 1 }] },
    want: /added_tokens\[0\]/,
  },
  {
    name: 'an unknown pre-tokenizer',
    tokenizer: { ...good, pre_tokenizer: { type: 'Bert' } },
    want: /pre-tokenizer "Bert" is not supported/,
  },
  {
    name: 'an unknown normalizer',
    tokenizer: { ...good, normalizer: { type: 'Precompiled' } },
    want: /normalizer "Precompiled"/,
  },
  {
    name: 'a pattern that is none',
    tokenizer: { ...good, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } },
    want: /cannot be used as a tokenizer/,
  },
]
for (const { name, tokenizer, want } of refused)
  test(`refused: ${name}`, () => {
    assert.throws(
      () =>
        createTokenizer({ tokenizer, tokenizerConfig: { eos_token: '<|im_end|>' }, where: 'tokenizer.json' }),
      (error) => {
        assert(error instanceof InputError)
        assert.match(error.message, want)
        assert.match(error.message, /^tokenizer\.json: /)
        return true
      },
    )
  })
