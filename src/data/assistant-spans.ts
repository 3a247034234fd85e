import type { ChatMessage } from './canonical-row.ts'
import type { ChatTemplate } from './chat-template.ts'

/** A row as text, and the half-open ranges of its UTF-16 units that are trained answers, in order. */
export interface RenderedRow {
  text: string
  spans: AnswerSpan[]
  /** What the model is given to answer the last trained turn: the text up to it. */
  prompt: string
}

export interface AnswerSpan {
  start: number
  end: number
  /** Where the answer's own text ends: with {% generation %} the span may go on to the end-of-turn token. */
  answerEnd: number
  /** True where nothing follows in the conversation. */
  isLast: boolean
}

/**
 * Renders a row and finds the answers in it by asking the template itself, so any template works, whatever it adds, trims or
 * drops. Three ways, the first that the template offers:
 * 1. it marks them with {% generation %};
 * 2. an answer begins where the context with generation prompt ends, if the whole text begins with that;
 * 3. the row is rendered again with a stand-in for the answer: it begins and ends where both texts begin and end to differ.
 * The end is always found by the third. A span holds the answer without its end-of-turn token (see loss-mask.ts).
 */
export function renderRow(template: ChatTemplate, messages: readonly ChatMessage[]): RenderedRow {
  const text = template.render(messages, { generationPrompt: false })
  const answers = messages.flatMap((m, index) => (m.role === 'assistant' ? [index] : []))
  const trained = answers.filter((index) => messages[index]?.weight !== 0)
  const marked = markedSpans(template, messages, text)
  const marks = marked?.length === answers.length ? marked : undefined

  let prompt = ''
  const spans = trained.map((index): AnswerSpan => {
    const context = generationContext(template, messages.slice(0, index))
    const differing = differingSpan(template, messages, index, text)
    const start =
      context !== undefined && text.startsWith(context) && context.length <= differing.end
        ? context.length
        : differing.start
    prompt = text.slice(0, start)
    const span = marks?.[answers.indexOf(index)] ?? { start, end: differing.end }
    return { ...span, answerEnd: differing.end, isLast: index === messages.length - 1 }
  })
  return { text, spans, prompt }
}

/** The messages before an answer with the generation prompt, or undefined where the template refuses them alone. */
function generationContext(template: ChatTemplate, messages: readonly ChatMessage[]): string | undefined {
  try {
    return template.render(messages, { generationPrompt: true })
  } catch {
    return undefined // such as no message at all, where the assistant speaks first
  }
}

/** Where the text changes when the answer does. */
function differingSpan(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  index: number,
  text: string,
): { start: number; end: number } {
  const [first, last] = strangers(text)
  const other = template.render(
    messages.map((m, at) => (at === index ? { ...m, content: `${first}x${last}` } : m)),
    { generationPrompt: false },
  )
  let start = 0
  while (start < text.length && text[start] === other[start]) start++
  let tail = 0
  const longest = Math.min(text.length, other.length) - start
  while (tail < longest && text[text.length - 1 - tail] === other[other.length - 1 - tail]) tail++
  return { start, end: text.length - tail }
}

function markedSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  text: string,
): { start: number; end: number }[] | undefined {
  if (!template.marksGeneration) return undefined
  const [start, end] = strangers(text)
  const marked = template.render(messages, { generationPrompt: false, marks: { start, end } })
  const pieces = marked.split(start)
  let length = pieces[0]?.length ?? 0
  const spans: { start: number; end: number }[] = []
  let plain = pieces[0] ?? ''
  for (const piece of pieces.slice(1)) {
    const [inside, ...outside] = piece.split(end)
    if (inside === undefined || outside.length !== 1) return undefined
    spans.push({ start: length, end: length + inside.length })
    plain += inside + (outside[0] ?? '')
    length = plain.length
  }
  // A template that looks at its own text (trim, length) may come out otherwise with marks in it: then they show nothing.
  return plain === text ? spans : undefined
}

/** Two characters of Unicode's private use area that the text does not hold. */
function strangers(text: string): [string, string] {
  const found: string[] = []
  for (let point = 0xe000; point <= 0xf8ff && found.length < 2; point++) {
    const character = String.fromCharCode(point)
    if (!text.includes(character)) found.push(character)
  }
  const [first, second] = found
  if (first === undefined || second === undefined)
    throw new Error('the row holds all characters of the private use area')
  return [first, second]
}
