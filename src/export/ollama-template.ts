/** A chat template rendered: messages in, text out. */
export type RenderChat = (
  messages: readonly { role: 'system' | 'user' | 'assistant'; content: string }[],
  generationPrompt: boolean,
) => string

export interface OllamaTemplate {
  /** Go template over .System, .Prompt and .Response, one turn at a time (ollama: docs/modelfile.mdx). */
  template: string
  /** The system message that the chat template puts in where there is none. */
  system?: string
}

// Words that no template writes itself.
const SYSTEM = 'temper-system-text'
const QUESTION = 'temper-first-question'
const ANSWER = 'temper-first-answer'
const NEXT = 'temper-second-question'

/**
 * Ollama's template for a chat template, found by looking where the parts of an example conversation come out, so that both put
 * the same text before the model. `endOfTurn` is the token that ends a message, `bos` what Ollama puts in front by itself.
 */
export function ollamaTemplate(
  render: RenderChat,
  endOfTurn: string,
  bos: string | undefined,
): OllamaTemplate {
  const withoutBos = (text: string) =>
    bos !== undefined && text.startsWith(bos) ? text.slice(bos.length) : text
  const turns = [
    { role: 'user', content: QUESTION },
    { role: 'assistant', content: ANSWER },
    { role: 'user', content: NEXT },
  ] as const
  const plain = partsOf(withoutBos(render(turns, true)), [QUESTION, ANSWER, NEXT])
  if (!plain) throw new Error('the chat template leaves out a message of an example conversation')
  const [head, , between, tail] = plain as [string, string, string, string]
  const full = systemParts(render, turns, withoutBos)
  if (!full) return { template: turnTemplate({ before: '', after: '' }, head, tail, leave(between, head)) }

  const [before, afterSystem] = full
  const builtIn =
    head.startsWith(before) && head.endsWith(afterSystem) && head.length > before.length + afterSystem.length
  const system = builtIn ? head.slice(before.length, head.length - afterSystem.length) : undefined
  const start = builtIn ? messageStart(afterSystem, between, endOfTurn) : head
  return {
    template: turnTemplate({ before, after: leave(afterSystem, start) }, start, tail, leave(between, start)),
    ...(system === undefined ? {} : { system }),
  }
}

/** What stands before, between and after the words, or undefined where one is missing. */
function partsOf(text: string, words: string[]): string[] | undefined {
  const parts: string[] = []
  let rest = text
  for (const word of words) {
    const at = rest.indexOf(word)
    if (at < 0) return undefined
    parts.push(rest.slice(0, at))
    rest = rest.slice(at + word.length)
  }
  return [...parts, rest]
}

/** Text before a system message, and between it and the first question; undefined where the template takes none. */
function systemParts(
  render: RenderChat,
  turns: Parameters<RenderChat>[0],
  withoutBos: (text: string) => string,
): [string, string] | undefined {
  let text: string
  try {
    text = withoutBos(render([{ role: 'system', content: SYSTEM }, ...turns], true))
  } catch {
    return undefined // the template raises an exception: its model knows no system message
  }
  const parts = partsOf(text, [SYSTEM, QUESTION])
  return parts ? [parts[0] ?? '', parts[1] ?? ''] : undefined
}

/** What introduces a question: the common end of what stands before two of them, behind the token that ends a message. */
function messageStart(one: string, other: string, endOfTurn: string): string {
  let length = 0
  while (length < Math.min(one.length, other.length) && one.at(-1 - length) === other.at(-1 - length))
    length++
  const common = one.slice(one.length - length)
  const at = common.lastIndexOf(endOfTurn)
  return at < 0 ? common : common.slice(at + endOfTurn.length).trimStart()
}

function leave(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, text.length - end.length) : text
}

function turnTemplate(
  system: { before: string; after: string },
  start: string,
  tail: string,
  after: string,
): string {
  const hasSystem = system.before !== '' || system.after !== ''
  const systemText = `${literal(system.before)}{{ .System }}${literal(system.after)}`
  return (
    `{{ if .System }}${hasSystem ? systemText : '{{ .System }}'}{{ end }}` +
    `{{ if .Prompt }}${literal(start)}{{ .Prompt }}{{ end }}${literal(tail)}{{ .Response }}${literal(after)}`
  )
}

/** Braces of the template's own text, as Go templates write them. */
function literal(text: string): string {
  return text.replaceAll('{{', '{{ "{{" }}')
}
