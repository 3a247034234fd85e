import { InputError } from '../errors.ts'
import type { ChatMessage, RowContent } from './canonical-row.ts'
import { type ColumnNames, type Fields, has, messagesField, type RowFormat } from './row-format.ts'

/** Roles as the formats write them: OpenAI's, and ShareGPT's. */
const ROLES: Readonly<Record<string, ChatMessage['role']>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
}

/** A longer conversation is a log; rendering it turn by turn would take time by the square of its turns. */
const MAX_MESSAGES = 1000

/** Fields whose rows teach the calling of tools: dropping them silently would train answers that come from nowhere. */
const TOOL_FIELDS = ['tools', 'functions', 'tool_calls', 'function_call']

/** What a row of a known format says. Values as they are; cleaning comes after. InputError with the place for a wrong type. */
export function rowContent(row: Fields, at: string, format: RowFormat, names: ColumnNames): RowContent {
  refuseTools(row, at)
  const system: ChatMessage[] = has(row, names.system)
    ? [{ role: 'system', content: text(row, names.system, at) }]
    : []
  switch (format) {
    case 'messages': {
      const field = messagesField(row, names)
      const messages = [...system, ...chat(row[field], `${at}: ${JSON.stringify(field)}`)]
      if (!messages.some((m) => m.role === 'assistant'))
        throw new InputError(
          `${at}: the row has no answer: none of its ${messages.length} messages is by the assistant; add one or remove the row`,
        )
      return { messages }
    }
    case 'prompt-completion':
      return promptCompletion(row, at, names, system)
    case 'alpaca': {
      const instruction = text(row, names.instruction, at)
      const input = has(row, names.input) ? text(row, names.input, at) : ''
      const question: ChatMessage = { role: 'user', content: instruction }
      if (input !== '') Object.assign(question, { content: `${instruction}\n\n${input}`, instruction, input })
      return {
        messages: [...system, question, { role: 'assistant', content: text(row, names.output, at) }],
      }
    }
  }
}

/** Prompt and completion are both text, or both messages; then only the completion's answers are trained. */
function promptCompletion(row: Fields, at: string, names: ColumnNames, system: ChatMessage[]): RowContent {
  const [prompt, completion] = [row[names.prompt], row[names.completion]]
  if (Array.isArray(prompt) && Array.isArray(completion)) {
    const before = chat(prompt, `${at}: ${JSON.stringify(names.prompt)}`)
    const after = chat(completion, `${at}: ${JSON.stringify(names.completion)}`)
    if (!after.some((m) => m.role === 'assistant'))
      throw new InputError(
        `${at}: the row has no answer: none of the messages in ${JSON.stringify(names.completion)} is by the assistant; add one or remove the row`,
      )
    const context = before.map((m): ChatMessage => (m.role === 'assistant' ? { ...m, weight: 0 } : m))
    return { messages: [...system, ...context, ...after] }
  }
  const content = { prompt: text(row, names.prompt, at), completion: text(row, names.completion, at) }
  if (system.length === 0) return content
  return {
    messages: [
      ...system,
      { role: 'user', content: content.prompt },
      { role: 'assistant', content: content.completion },
    ],
  }
}

function chat(value: unknown, place: string): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new InputError(
      `${place} must be a list of messages such as [{"role": "user", "content": "..."}], but is ${kindOf(value)}`,
    )
  if (value.length > MAX_MESSAGES)
    throw new InputError(
      `${place} has ${value.length} messages, more than the ${MAX_MESSAGES} allowed; split the conversation`,
    )
  return value.map((message, index) => chatMessage(message, `${place}, message ${index + 1}`))
}

function chatMessage(value: unknown, place: string): ChatMessage {
  if (!isFields(value)) throw new InputError(`${place} must be an object, but is ${kindOf(value)}; mend it`)
  refuseTools(value, place)
  const shareGpt = !has(value, 'role') && has(value, 'from')
  const [roleField, contentField] = shareGpt ? ['from', 'value'] : ['role', 'content']
  const said = value[roleField]
  const role = typeof said === 'string' && Object.hasOwn(ROLES, said) ? ROLES[said] : undefined
  if (!role)
    throw new InputError(
      `${place} has the ${roleField} ${JSON.stringify(said)}; known are ${Object.keys(ROLES).join(', ')}`,
    )
  const content = value[contentField]
  const message: ChatMessage = {
    role,
    content: Array.isArray(content) ? joinParts(content, place) : text(value, contentField, place),
  }
  if (role === 'assistant' && value['weight'] === 0) message.weight = 0
  return message
}

/** OpenAI's content in parts: texts are joined; an image or a sound cannot be trained here. */
function joinParts(parts: unknown[], place: string): string {
  return parts
    .map((part) => {
      if (isFields(part) && part['type'] === 'text' && typeof part['text'] === 'string') return part['text']
      throw new InputError(`${place} has a part that is no text; only text can be trained, remove the row`)
    })
    .join('')
}

function text(row: Fields, field: string, place: string): string {
  const value = row[field]
  if (typeof value === 'string') return value
  // A number or a yes/no is a fine answer that JSON spells without quotes.
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new InputError(`${place}: ${JSON.stringify(field)} must be text, but is ${kindOf(value)}; mend it`)
}

function refuseTools(row: Fields, place: string): void {
  const field = TOOL_FIELDS.find((name) => has(row, name) && !isEmpty(row[name]))
  if (field)
    throw new InputError(
      `${place} holds ${JSON.stringify(field)}, and tool calls are not supported; remove such rows or the field`,
    )
}

const isEmpty = (value: unknown) => value === '' || (Array.isArray(value) && value.length === 0)

/** True for what JSON calls an object. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The type of a JSON value, in words. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
