import { parseChatTemplate } from '../data/chat-template.ts'
import { InputError } from '../errors.ts'
import { writeOutputFile } from '../formats/output-file.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { Dialogue } from './dialogue.ts'
import { ollamaTemplate } from './ollama-template.ts'

export interface ModelfileSource {
  /** The .gguf beside it. */
  file: string
  tokenizer: Tokenizer
  dialogue?: Dialogue
  /** The longest text the model can take. */
  contextLength: number
}

/**
 * Writes the Modelfile for `ollama create`: model, template and stop tokens, the last two derived from the chat template that the
 * model was trained with. Without a chat template the prompt stands alone. InputError where the template cannot be put in words.
 */
export async function writeModelfile(path: string, source: ModelfileSource): Promise<void> {
  const { file, tokenizer, dialogue = {}, contextLength } = source
  const endOfTurn = dialogue.endOfTurn?.token ?? tokenizer.eos.token
  const lines = [`FROM ./${file}`]
  const chatTemplate = dialogue.chatTemplate ?? tokenizer.chatTemplate
  if (chatTemplate === undefined) lines.push('TEMPLATE """{{ .Prompt }}"""')
  else {
    const { bos, eos, pad, addsBos } = tokenizer
    const template = parseChatTemplate(chatTemplate, {
      bosToken: bos?.token ?? '',
      eosToken: eos.token,
      padToken: pad?.token ?? '',
    })
    const derived = ollamaTemplate(
      (messages, generationPrompt) => template.render(messages, { generationPrompt }),
      endOfTurn,
      addsBos ? bos?.token : undefined,
    )
    lines.push(`TEMPLATE ${quoted(derived.template)}`)
    if (derived.system !== undefined) lines.push(`SYSTEM ${quoted(derived.system)}`)
  }
  for (const stop of new Set([endOfTurn, tokenizer.eos.token]))
    lines.push(`PARAMETER stop ${JSON.stringify(stop)}`)
  lines.push(`PARAMETER num_ctx ${contextLength}`)
  await writeOutputFile(path, [Buffer.from(`${lines.join('\n')}\n`)])
}

function quoted(text: string): string {
  if (text.includes('"""') || text.endsWith('"'))
    throw new InputError(
      'spec.data.template: a Modelfile cannot quote a template with three double quotes; use single quotes in it',
    )
  return `"""${text}"""`
}
