import type { FineTuneSpec } from '../spec/fine-tune.ts'
import { type ChatMessage, type RowContent, trainedAnswers } from './canonical-row.ts'
import { normaliseText, type Trim } from './normalise-text.ts'
import { stripHtml } from './strip-html.ts'

type CleanSettings = FineTuneSpec['data']['clean']

/** Why a row was left out. The words are those of removed.jsonl and of the summary. */
export type RemovalReason =
  'empty question' | 'empty answer' | 'answer too short' | 'no answer with a weight above 0'

/** The content with each text cleaned, and whether HTML was taken out of it. */
export function cleanContent(
  content: RowContent,
  { html }: CleanSettings,
): { content: RowContent; hadHtml: boolean } {
  let hadHtml = false
  const clean = (text: string, trim?: Trim) => {
    const stripped = html === 'strip' ? stripHtml(text) : text
    hadHtml ||= stripped !== text
    return normaliseText(stripped, trim)
  }
  if (!('messages' in content)) {
    // Where the prompt ends and the completion begins, a blank or a line break belongs to the text.
    const prompt = clean(content.prompt, 'start')
    return { content: { prompt, completion: clean(content.completion, 'end') }, hadHtml }
  }
  const messages = content.messages.map((message): ChatMessage => {
    const cleaned: ChatMessage = { ...message, content: clean(message.content) }
    if (message.instruction === undefined || message.input === undefined) return cleaned
    const [instruction, input] = [clean(message.instruction), clean(message.input)]
    if (instruction !== '' && input !== '')
      return { ...cleaned, content: `${instruction}\n\n${input}`, instruction, input }
    return { role: message.role, content: instruction || input }
  })
  return { content: { messages }, hadHtml }
}

/** Why a cleaned row cannot be used, or undefined where it can. */
export function removalReason(
  content: RowContent,
  { minAnswerCharacters }: CleanSettings,
): RemovalReason | undefined {
  const answers = trainedAnswers(content).map((answer) => answer.trim())
  if (answers.length === 0) return 'no answer with a weight above 0'
  if (answers.includes('') && minAnswerCharacters > 0) return 'empty answer'
  // A conversation is worth its best answer: "yes" in the middle of it is no reason to lose the rest.
  if (Math.max(...answers.map((answer) => Array.from(answer).length)) < minAnswerCharacters)
    return 'answer too short'
  if ('messages' in content && content.messages.every((m) => m.role !== 'user' || m.content === ''))
    return content.messages.some((m) => m.role === 'user') ? 'empty question' : undefined
  return undefined
}
