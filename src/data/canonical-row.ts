import { createHash } from 'node:crypto'

/** One message of a conversation, cleaned. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant'
  content: string
  /** An answer that is context only and not trained, as OpenAI's format says it. */
  weight?: 0
  /** Of an Alpaca row with an input, whose `content` is both: a template may want them apart. */
  instruction?: string
  input?: string
}

/** What a row says, in one of two shapes whatever format it came in. */
export type RowContent = { messages: ChatMessage[] } | { prompt: string; completion: string }

/** A row of train.jsonl and eval.jsonl. `id` names its content, `at` is the `file:row` it came from. */
export type CanonicalRow = { id: string; at: string } & RowContent

/** 64 bits: among a hundred million rows two different ones share an id with a chance of 1 in 3700. */
const ID_DIGITS = 16

/** SHA-256 of the content, its first 16 hex digits: equal content, equal id, on any machine and in any file. */
export function rowId(content: RowContent): string {
  const parts =
    'messages' in content
      ? ['messages', ...content.messages.flatMap((m) => [m.role, m.content, m.weight === 0 ? 'context' : ''])]
      : ['prompt', content.prompt, content.completion]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, ID_DIGITS)
}

/** The answers that are trained, in order. */
export function trainedAnswers(content: RowContent): string[] {
  if (!('messages' in content)) return [content.completion]
  return content.messages.filter((m) => m.role === 'assistant' && m.weight !== 0).map((m) => m.content)
}
