import { type FieldDoc, type KindDoc, kindName } from './model-docs.ts'

/** Ways to ask for a field. Many, so that the model learns the answers and not one phrase. */
const FIELD_QUESTIONS: readonly ((kind: string, field: string) => string)[] = [
  (kind, field) => `What is the field \`${field}\` of the Kubernetes object ${kind}?`,
  (kind, field) => `In the Kubernetes API, what does \`${field}\` mean in ${withArticle(kind)}?`,
  (kind, field) => `Explain \`${kind}.${field}\` in Kubernetes.`,
  (kind, field) => `What do I set with \`${field}\` in ${withArticle(kind)}?`,
  (kind, field) => `I see \`${field}\` in ${withArticle(kind)}. What is it for?`,
  (kind, field) => `Describe the \`${field}\` field of ${kind} in the Kubernetes API.`,
  (kind, field) => `What type is \`${field}\` of a Kubernetes ${kind}, and what does it do?`,
  (kind, field) => `How is \`${field}\` used in ${withArticle(kind)}?`,
  (kind, field) => `Kubernetes: ${kind}, field \`${field}\`. What does it say?`,
  (kind, field) => `Tell me about \`${field}\` in ${kind}.`,
]

const KIND_QUESTIONS: readonly ((kind: string) => string)[] = [
  (kind) => `What is ${withArticle(kind)} in the Kubernetes API?`,
  (kind) => `Explain ${kind} in Kubernetes.`,
  (kind) => `What does the Kubernetes object ${kind} describe?`,
  (kind) => `What is ${kind} for, in the Kubernetes API?`,
]

/** In characters. Long enough to say something, short enough for a small model and a quick run. */
const ANSWER_LENGTH = { least: 40, most: 260 }

export interface QuestionAnswer {
  instruction: string
  output: string
}

/** `number` picks the question's wording. Undefined where the documentation makes no answer of a fitting length. */
export function askForField(kind: string, field: FieldDoc, number: number): QuestionAnswer | undefined {
  const description = shortened(field.description)
  const ask = FIELD_QUESTIONS[number % FIELD_QUESTIONS.length]
  if (description === undefined || !ask) return undefined
  const { name, required } = field
  const output = `\`${name}\` is ${required ? 'a required' : 'an optional'} field of ${kind}: ${typeInWords(field.type)}. ${description}`
  return { instruction: ask(kind, name), output }
}

export function askForKind({ kind, description }: KindDoc, number: number): QuestionAnswer | undefined {
  const text = shortened(description)
  const ask = KIND_QUESTIONS[number % KIND_QUESTIONS.length]
  if (text === undefined || !ask) return undefined
  return { instruction: ask(kind), output: `${kind} is an object of the Kubernetes API. ${text}` }
}

/** `a Pod`, `an Event`; names that begin with U (UserInfo) are spoken with a consonant. */
const withArticle = (kind: string) => `${/^[AEIO]/.test(kind) ? 'an' : 'a'} ${kind}`

/** The first sentences, as many as fit. */
export function shortened(description: string): string | undefined {
  if (/deprecated|https?:|\\n|\t/i.test(description.slice(0, ANSWER_LENGTH.most))) return undefined
  let text = ''
  for (const sentence of description.split(/(?<=[^.][^.]\.)\s+(?=[A-Z"`])/)) {
    const longer = text === '' ? sentence : `${text} ${sentence}`
    if (longer.length > ANSWER_LENGTH.most) break
    text = longer
  }
  text = text.replace(/\s+/g, ' ').trim()
  if (text.length < ANSWER_LENGTH.least || /\b(?:e\.g|i\.e|etc)\.$/.test(text)) return undefined
  const whole = /\.\)?$/.test(text) ? text : `${text}.`
  return whole.charAt(0).toUpperCase() + whole.slice(1)
}

/** `Array<V1ContainerPort>` → `a list of ContainerPort objects`. */
export function typeInWords(type: string): string {
  const element = /^Array<(.+)>$/.exec(type)?.[1]
  if (element) return `a list of ${plural(element)}`
  if (type.startsWith('{')) return 'a map'
  switch (type) {
    case 'string':
    case 'number':
    case 'boolean':
      return `a ${type}`
    case 'Date':
    case 'V1MicroTime':
      return 'a time'
    case 'IntOrString':
      return 'a number or a string'
    case 'any':
      return 'any value'
    default:
      return `an object of type ${kindName(type)}`
  }
}

function plural(type: string): string {
  if (type.startsWith('Array<')) return 'lists'
  if (type.startsWith('{')) return 'maps'
  return ['string', 'number', 'boolean'].includes(type) ? `${type}s` : `${kindName(type)} objects`
}
