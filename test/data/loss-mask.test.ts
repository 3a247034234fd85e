import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Template } from '@huggingface/jinja'
import { ALPACA_TEMPLATE } from '../../src/data/alpaca-template.ts'
import { renderRow } from '../../src/data/assistant-spans.ts'
import type { ChatMessage } from '../../src/data/canonical-row.ts'
import { parseChatTemplate } from '../../src/data/chat-template.ts'
import { endOfTurnOf, specialTokenIds } from '../../src/data/end-of-turn.ts'
import { maskRow } from '../../src/data/loss-mask.ts'
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import * as templates from './chat-templates.ts'
import { tinyTokenizer } from './tiny-tokenizer.ts'

const chatml = tinyTokenizer({ special: ['<|endoftext|>', '<|im_start|>'], eos: '<|im_end|>' })
const llama = tinyTokenizer({
  special: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  bos: '<|begin_of_text|>',
  eos: '<|end_of_text|>',
  addsBos: true,
})
const gemma = tinyTokenizer({
  special: ['<start_of_turn>', '<end_of_turn>'],
  bos: '<bos>',
  eos: '<eos>',
  addsBos: true,
})
const mistral = tinyTokenizer({ bos: '<s>', eos: '</s>', addsBos: true })

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const system = (content: string): ChatMessage => ({ role: 'system', content })
const PLAIN = [user('Hi'), assistant('Yo')]
const TWO_TURNS = [user('Hi'), assistant('Yo'), user('And?'), assistant('No')]

/** The row's tokens in order, those that the loss counts between « and ». */
function shown(
  source: string,
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  { completionOnlyLoss = true } = {},
): string {
  const template = parseChatTemplate(source, {
    bosToken: tokenizer.bos?.token ?? '',
    eosToken: tokenizer.eos.token,
    padToken: '',
  })
  const endOfTurn = endOfTurnOf(renderRow(template, PLAIN), tokenizer)
  const special = specialTokenIds(tokenizer)
  const { ids, mask } = maskRow(renderRow(template, messages), {
    tokenizer,
    endOfTurn,
    special,
    completionOnlyLoss,
  })
  assert.equal(mask.length, ids.length)
  let text = ''
  for (let start = 0; start < ids.length;) {
    const learnt = mask[start] === 1
    let end = start
    while (end < ids.length && (mask[end] === 1) === learnt) end++
    const run = tokenizer.decode(ids.slice(start, end)) // whole: a letter may be several tokens
    text += learnt ? `«${run}»` : run
    start = end
  }
  return text
}

const SMOLLM_SYSTEM =
  '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'
const QWEN_SYSTEM =
  '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n'

const cases: { name: string; source: string; tokenizer: Tokenizer; messages: ChatMessage[]; want: string }[] =
  [
    {
      name: 'SmolLM2 adds its system prompt, which is not learnt',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: PLAIN,
      want: `${SMOLLM_SYSTEM}<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n`,
    },
    {
      name: 'ChatML learns each answer of a conversation with its end',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: [system('Be brief.'), ...TWO_TURNS],
      want:
        '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n' +
        '<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n«No<|im_end|>»\n',
    },
    {
      name: 'an answer with weight 0 is context',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: [system('S'), user('Hi'), { ...assistant('Yo'), weight: 0 }, user('And?'), assistant('No')],
      want:
        '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n' +
        '<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n«No<|im_end|>»\n',
    },
    {
      name: 'an answer that repeats the question, and its own beginning, is found where it is',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: [
        system('S'),
        user('assistant'),
        assistant('assistant'),
        user('a'),
        assistant('assistant\nassistant'),
      ],
      want:
        '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nassistant<|im_end|>\n<|im_start|>assistant\n«assistant<|im_end|>»\n' +
        '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n«assistant\nassistant<|im_end|>»\n',
    },
    {
      name: 'letters of several bytes are learnt whole',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: [system('ß'), user('é'), assistant('€ 😀')],
      want: '<|im_start|>system\nß<|im_end|>\n<|im_start|>user\né<|im_end|>\n<|im_start|>assistant\n«€ 😀<|im_end|>»\n',
    },
    {
      name: 'Llama 3 writes BOS itself, ends turns with <|eot_id|> (not its end of sequence), and trims',
      source: templates.LLAMA_3,
      tokenizer: llama,
      messages: [user('Hi'), assistant('  Yo  '), user('And?'), assistant('No')],
      want:
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>' +
        '<|start_header_id|>assistant<|end_header_id|>\n\n«Yo<|eot_id|>»<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>' +
        '<|start_header_id|>assistant<|end_header_id|>\n\n«No<|eot_id|>»',
    },
    {
      name: 'a token that begins in the context belongs to it (two line feeds are one token here)',
      source: templates.SMOLLM2,
      tokenizer: chatml,
      messages: [system('S'), user('Hi'), assistant('\n\nYo')],
      want: '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n\n«\nYo<|im_end|>»\n',
    },
    {
      name: 'Qwen 2.5 adds its default system prompt',
      source: templates.QWEN_2_5,
      tokenizer: tinyTokenizer({ special: ['<|im_start|>', '<|im_end|>'], eos: '<|endoftext|>' }),
      messages: PLAIN,
      want: `${QWEN_SYSTEM}<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n`,
    },
    {
      name: 'Qwen 2.5 with a system message of the row',
      source: templates.QWEN_2_5,
      tokenizer: chatml,
      messages: [system('S'), ...PLAIN],
      want: '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n',
    },
    {
      name: 'Gemma trims and names the assistant otherwise',
      source: templates.GEMMA,
      tokenizer: gemma,
      messages: [user('Hi '), assistant(' Yo '), user('And?'), assistant('No\n')],
      want:
        '<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n«Yo<end_of_turn>»\n' +
        '<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n«No<end_of_turn>»\n',
    },
    {
      name: 'Mistral has no generation prompt',
      source: templates.MISTRAL,
      tokenizer: mistral,
      messages: TWO_TURNS,
      want: '<s>[INST] Hi [/INST]«Yo</s>»[INST] And? [/INST]«No</s>»',
    },
    {
      name: 'Alpaca, without BOS where the tokenizer has none',
      source: ALPACA_TEMPLATE,
      tokenizer: chatml,
      messages: PLAIN,
      want:
        'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
        '### Instruction:\nHi\n\n### Response:\n«Yo<|im_end|>»',
    },
    {
      name: 'Alpaca with an input has a section for it',
      source: ALPACA_TEMPLATE,
      tokenizer: chatml,
      messages: [{ ...user('Add.\n\n1 2'), instruction: 'Add.', input: '1 2' }, assistant('3')],
      want:
        'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n' +
        '### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n«3<|im_end|>»',
    },
    {
      name: 'Alpaca goes on with further turns, under a system message',
      source: ALPACA_TEMPLATE,
      tokenizer: chatml,
      messages: [system('S'), ...TWO_TURNS],
      want: 'S\n\n### Instruction:\nHi\n\n### Response:\n«Yo<|im_end|>»\n\n### Instruction:\nAnd?\n\n### Response:\n«No<|im_end|>»',
    },
    {
      name: 'a template that rewrites its history: the empty thought of the last turn is learnt, as the model will write it',
      source: templates.QWEN_3_LIKE,
      tokenizer: chatml,
      messages: [user('Hi'), assistant('<think>\nhm\n</think>\n\nYo'), user('And?'), assistant('No')],
      want:
        '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n' +
        '<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n«<think>\n\n</think>\n\nNo<|im_end|>»\n',
    },
    {
      name: 'the last turn keeps its thought',
      source: templates.QWEN_3_LIKE,
      tokenizer: chatml,
      messages: [user('Hi'), assistant('<think>\nhm\n</think>\n\nYo')],
      want: '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«<think>\nhm\n</think>\n\nYo<|im_end|>»\n',
    },
    {
      name: '{% generation %} says what is learnt',
      source: templates.MARKED,
      tokenizer: chatml,
      messages: TWO_TURNS,
      want: '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n«No<|im_end|>»\n',
    },
    {
      name: 'the end of turn is learnt where {% generation %} leaves it out',
      source:
        "{% for m in messages %}<|im_start|>{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}",
      tokenizer: chatml,
      messages: PLAIN,
      want: '<|im_start|>user: Hi<|im_end|><|im_start|>assistant: «Yo<|im_end|>»',
    },
    {
      name: 'a template without end of turn gets the end of sequence behind the last answer',
      source: '{% for m in messages %}{{ m.content }}\n{% endfor %}',
      tokenizer: chatml,
      messages: PLAIN,
      want: 'Hi\n«Yo<|im_end|>»',
    },
    {
      name: 'what stands between an answer and its end of turn is learnt with it',
      source:
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}{% else %} A: [{{ m.content }}] {{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %} A: [{% endif %}",
      tokenizer: mistral,
      messages: PLAIN,
      want: 'Q: Hi A: [«Yo] </s>»',
    },
    {
      name: 'the assistant speaks first',
      source: templates.QWEN_2_5,
      tokenizer: chatml,
      messages: [assistant('Yo'), user('Hi'), assistant('No')],
      want: `${QWEN_SYSTEM}<|im_start|>assistant\n«Yo<|im_end|>»\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«No<|im_end|>»\n`,
    },
  ]

for (const { name, source, tokenizer, messages, want } of cases)
  test(name, () => assert.equal(shown(source, tokenizer, messages), want))

test('without completionOnlyLoss every token but the first is learnt, for the first has none before it', () => {
  assert.equal(
    shown(templates.MISTRAL, mistral, PLAIN, { completionOnlyLoss: false }),
    '<s>«[INST] Hi [/INST]Yo</s>»',
  )
})

test('BOS that a template and a row both write is there once', () => {
  const want = '<s>[INST] Hi [/INST]«Yo</s>»'
  assert.equal(shown(`<s>${templates.MISTRAL}`, mistral, PLAIN), want)
})

test('whatever is said, each answer is found whole and nothing but it', () => {
  const words = [
    'a',
    ' a',
    'assistant',
    'user',
    '\n',
    '\n\n',
    ' ',
    'é',
    '😀',
    '### Response:',
    '[/INST]',
    'model\n',
    '{{ x }}',
  ]
  let state = 1 // a small generator: the same conversations in each run
  const draw = (below: number) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
  const say = () => `x${Array.from({ length: draw(6) }, () => words[draw(words.length)]).join('')}y`
  const { SMOLLM2, LLAMA_3, QWEN_2_5, GEMMA, MISTRAL, MARKED } = templates
  for (const source of [SMOLLM2, LLAMA_3, QWEN_2_5, GEMMA, MISTRAL, MARKED, ALPACA_TEMPLATE]) {
    const template = parseChatTemplate(source, { bosToken: '<s>', eosToken: '</s>', padToken: '' })
    for (let row = 0; row < 40; row++) {
      const messages = Array.from({ length: 1 + draw(3) }, () => [user(say()), assistant(say())]).flat()
      const { text, spans } = renderRow(template, messages)
      assert.deepEqual(
        spans.map(({ start, answerEnd }) => text.slice(start, answerEnd)),
        messages.filter((m) => m.role === 'assistant').map((m) => m.content),
      )
    }
  }
})

test('our rendering is the library’s own where both know everything, generation tags included', () => {
  const variables = { bos_token: '<s>', eos_token: '</s>' }
  const tokens = { bosToken: '<s>', eosToken: '</s>', padToken: '' }
  const { SMOLLM2, LLAMA_3, QWEN_2_5, GEMMA, MISTRAL, QWEN_3_LIKE, MARKED } = templates
  for (const source of [SMOLLM2, LLAMA_3, QWEN_2_5, GEMMA, MISTRAL, QWEN_3_LIKE, MARKED, ALPACA_TEMPLATE])
    for (const generationPrompt of [false, true])
      assert.equal(
        parseChatTemplate(source, tokens).render(TWO_TURNS, { generationPrompt }),
        new Template(source).render({
          messages: TWO_TURNS,
          add_generation_prompt: generationPrompt,
          tools: null,
          ...variables,
        }),
      )
})

test('a template that prints the date prints the same one on any day', () => {
  const template = parseChatTemplate("{{ strftime_now('%d %b %Y') }}", {
    bosToken: '',
    eosToken: '',
    padToken: '',
  })
  assert.equal(template.render([], { generationPrompt: false }), '26 Jul 2024')
})
