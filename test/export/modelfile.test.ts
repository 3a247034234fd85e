import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ALPACA_TEMPLATE } from '../../src/data/alpaca-template.ts'
import { parseChatTemplate } from '../../src/data/chat-template.ts'
import { writeModelfile } from '../../src/export/write-modelfile.ts'
import { CHATML } from '../base/model-folders.ts'
import { referenceTokenizer } from '../tokenizer/reference-cases.ts'

const parent = mkdtempSync(join(tmpdir(), 'temper-modelfile-'))
after(() => rmSync(parent, { recursive: true }))

const SMOLLM =
  "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}{% endif %}" +
  "{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
const LLAMA3 =
  "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m.role + '<|end|>\n\n' + m.content | trim + '<|im_end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
const WITHOUT_SYSTEM =
  "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}" +
  "{{ ('[INST] ' + m.content + ' [/INST]') if m.role == 'user' else (' ' + m.content + eos_token) }}{% endfor %}"
const BRACES = CHATML.replaceAll('<|im_start|>', '<{{0}}>')
  .replaceAll("'<{{0}}>'", "'<{' + '{0}}>'")
  .replace("'<{{0}}>assistant\n'", "'<{' + '{0}}>assistant\n'")

interface Turn {
  System?: string
  Prompt?: string
  Response?: string
}

/** As much of Go's text/template as a Modelfile here uses: fields, {{ if }} and a quoted string. */
function execute(template: string, turn: Turn): string {
  const shown = template.replace(
    /\{\{ if \.(\w+) \}\}([\s\S]*?)\{\{ end \}\}/g,
    (_, field: keyof Turn, body: string) => (turn[field] ? body : ''),
  )
  return shown.replace(
    /\{\{ (?:\.(\w+)|"(\{\{)") \}\}/g,
    (_, field: keyof Turn | undefined, quoted: string) => (field ? (turn[field] ?? '') : quoted),
  )
}

for (const { name, source, addBos = false, written = 'So.' } of [
  { name: 'ChatML', source: CHATML },
  { name: 'a template with a system message of its own', source: SMOLLM },
  { name: 'Llama 3, BOS in front', source: LLAMA3, addBos: true },
  { name: 'Alpaca', source: ALPACA_TEMPLATE },
  // What stands before an answer but not in the generation prompt is the model's own to write.
  { name: 'a template that refuses system messages', source: WITHOUT_SYSTEM, written: ' So.' },
  { name: 'a template whose text has braces', source: BRACES },
])
  test(`Ollama puts the same text before the model: ${name}`, async () => {
    const tokenizer = referenceTokenizer('smollm', { bos_token: '<|im_start|>', add_bos_token: addBos })
    const path = join(parent, 'Modelfile')
    await writeModelfile(path, {
      file: 'm.gguf',
      tokenizer,
      dialogue: { chatTemplate: source },
      contextLength: 512,
    })
    const text = readFileSync(path, 'utf8')
    const template = /TEMPLATE """([\s\S]*?)"""/.exec(text)?.[1] ?? assert.fail(text)
    const system = /SYSTEM """([\s\S]*?)"""/.exec(text)?.[1]

    const chat = parseChatTemplate(source, { bosToken: '<|im_start|>', eosToken: '<|im_end|>', padToken: '' })
    const user = (content: string) => ({ role: 'user' as const, content })
    const assistant = (content: string) => ({ role: 'assistant' as const, content })
    const ollama = (turns: Turn[]) =>
      (addBos ? '<|im_start|>' : '') +
      turns
        .map((turn, i) => execute(template, { ...(i === 0 && system ? { System: system } : {}), ...turn }))
        .join('')

    const one = ollama([{ Prompt: 'Why?' }])
    const wanted = chat.render([user('Why?')], { generationPrompt: true })
    assert(one.startsWith(wanted), `${JSON.stringify(one)} begins with ${JSON.stringify(wanted)}`)
    const two = ollama([{ Prompt: 'Why?', Response: written }, { Prompt: 'And?' }])
    const wantedTwo = chat.render([user('Why?'), assistant('So.'), user('And?')], { generationPrompt: true })
    assert(two.startsWith(wantedTwo), `${JSON.stringify(two)} begins with ${JSON.stringify(wantedTwo)}`)
    if (source !== WITHOUT_SYSTEM) {
      const told = ollama([{ System: 'Be brief', Prompt: 'Why?' }])
      const wantedTold = chat.render([{ role: 'system', content: 'Be brief' }, user('Why?')], {
        generationPrompt: true,
      })
      assert(told.startsWith(wantedTold), `${JSON.stringify(told)} begins with ${JSON.stringify(wantedTold)}`)
    }
    assert.match(text, /^FROM \.\/m\.gguf\n/)
    assert.match(text, /PARAMETER stop "<\|im_end\|>"\nPARAMETER num_ctx 512\n$/)
  })

test('without a chat template the prompt stands alone; both ends of turn are stops', async () => {
  const path = join(parent, 'plain')
  const tokenizer = referenceTokenizer('smollm')
  await writeModelfile(path, {
    file: 'm.gguf',
    tokenizer,
    contextLength: 9,
    dialogue: { endOfTurn: { id: 0, token: '<|endoftext|>' } },
  })
  assert.equal(
    readFileSync(path, 'utf8'),
    'FROM ./m.gguf\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 9\n',
  )
})
