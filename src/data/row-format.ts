import { InputError } from '../errors.ts'
import type { FineTuneSpec } from '../spec/fine-tune.ts'

type DataSettings = FineTuneSpec['data']
export type RowFormat = Exclude<DataSettings['format'], 'auto'>
export type Fields = Readonly<Record<string, unknown>>

/** Under which name a row holds what: the format's own name, or what `columns` says. */
export type ColumnNames = Required<NonNullable<DataSettings['columns']>>

export function columnNames(columns: DataSettings['columns']): ColumnNames {
  return {
    instruction: 'instruction',
    input: 'input',
    output: 'output',
    prompt: 'prompt',
    completion: 'completion',
    system: 'system',
    messages: 'messages',
    ...columns,
  }
}

/** ShareGPT's name for the list of messages. Read as messages, without being mapped. */
const SHAREGPT_FIELD = 'conversations'

/** The field of `row` with its messages. */
export function messagesField(row: Fields, names: ColumnNames): string {
  return has(row, names.messages) || !has(row, SHAREGPT_FIELD) ? names.messages : SHAREGPT_FIELD
}

/** True where the row has the field with a value: null is how JSON says that there is none. */
export const has = (row: Fields, field: string) =>
  Object.hasOwn(row, field) && row[field] !== null && row[field] !== undefined

/** Precedence for rows with fields of several formats: many published sets keep a bare prompt beside their messages. */
const FORMATS = ['messages', 'prompt-completion', 'alpaca'] as const satisfies RowFormat[]

/** Fields that make a row one of `format`: what is asked, and what is answered (messages are both). */
function formatFields(
  format: RowFormat,
  row: Fields,
  names: ColumnNames,
): [question: string, answer: string] {
  switch (format) {
    case 'messages':
      return [messagesField(row, names), messagesField(row, names)]
    case 'prompt-completion':
      return [names.prompt, names.completion]
    case 'alpaca':
      return [names.instruction, names.output]
  }
}

const fits = (format: RowFormat, row: Fields, names: ColumnNames) =>
  formatFields(format, row, names).every((field) => has(row, field))

const listed = (row: Fields) => Object.keys(row).join(', ') || 'none'

/** The format of a file, told by its first row. InputError where none fits; it lists what was seen and what is supported. */
export function recogniseFormat(first: Fields, at: string, names: ColumnNames): RowFormat {
  const found = FORMATS.find((format) => fits(format, first, names))
  if (found) return found
  const unanswered = FORMATS.find((format) => has(first, formatFields(format, first, names)[0]))
  if (unanswered) throw noAnswer(first, at, unanswered, names)
  throw new InputError(
    `${at}: the fields ${listed(first)} are of no known format; supported are alpaca (${names.instruction}, ${names.input}, ${names.output}), messages (${names.messages}, or ShareGPT's ${SHAREGPT_FIELD}) and prompt-completion (${names.prompt}, ${names.completion}), or name your fields in spec.data.columns, such as {prompt: question, completion: answer}`,
  )
}

/**
 * Refuses a row that is not of its file's format. An answer that is missing is an error, for then the user has named the wrong
 * field or file; an answer that is there and empty is cleaning's to remove and count.
 */
export function checkFormat(row: Fields, at: string, format: RowFormat, names: ColumnNames): void {
  const [question, answer] = formatFields(format, row, names)
  if (has(row, question) && has(row, answer)) return
  const other = FORMATS.find((candidate) => candidate !== format && fits(candidate, row, names))
  if (other)
    throw new InputError(
      `${at}: the row is ${other} while its file is ${format} (fields here: ${listed(row)}); put rows of each format into a file of their own`,
    )
  if (!has(row, answer)) throw noAnswer(row, at, format, names)
  throw new InputError(
    `${at}: the row has no ${JSON.stringify(question)} (fields: ${listed(row)}); add it, or name the right field in spec.data.columns`,
  )
}

function noAnswer(row: Fields, at: string, format: RowFormat, names: ColumnNames): InputError {
  const [, answer] = formatFields(format, row, names)
  return new InputError(
    `${at}: the row has no answer: ${JSON.stringify(answer)} is missing (${format} row with fields ${listed(row)}); add it, remove the row, or name the right field in spec.data.columns`,
  )
}
