import type { core } from 'zod'
import { fieldPaths, type JsonSchema, schemaAt } from './json-schema.ts'
import { nearestName } from './nearest-name.ts'
import { pathText, valueText } from './problem.ts'
import type { Problem } from './problem.ts'

const TYPE_NAMES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping of fields',
  record: 'a mapping of names to texts',
}

/**
 * A schema issue as the user's problems: what is wrong, what the value is, how to mend it. `document` is what was parsed,
 * `schema` that of its kind.
 */
export function explainIssue(issue: core.$ZodIssue, document: unknown, schema: JsonSchema): Problem[] {
  const path = issue.path
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], text: unknownField(path, key, schema) }))
  }
  const value = valueAt(document, path)
  if (value === undefined) return [{ path, text: missing(path, schema), missing: true }]
  return [{ path, text: wrong(issue, path, value, schema) }]
}

function wrong(
  issue: Exclude<core.$ZodIssue, core.$ZodIssueUnrecognizedKeys>,
  path: PropertyKey[],
  value: unknown,
  schema: JsonSchema,
): string {
  const but = `, but is ${valueText(value)}`
  switch (issue.code) {
    case 'invalid_type': {
      const type = TYPE_NAMES[issue.expected] ?? issue.expected
      if (value === null)
        return path.length === 0 ? missing(path, schema) : `is empty; give it ${type} or delete the line`
      const quote = issue.expected === 'string' && typeof value !== 'object' ? '; put it in quotes' : ''
      return `must be ${type}${but}${quote || example(path, schema)}`
    }
    case 'too_small':
      if (issue.origin === 'array')
        return `must have at least ${entries(issue.minimum)}${example(path, schema)}`
      if (issue.origin === 'string') return `must not be empty${example(path, schema)}`
      return `must be ${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}${but}`
    case 'too_big':
      if (issue.origin === 'array') return `must have at most ${entries(issue.maximum)}`
      if (issue.origin === 'string') return `must have at most ${issue.maximum} characters`
      return `must be ${issue.inclusive === false ? 'below' : 'at most'} ${issue.maximum}${but}`
    case 'invalid_value': {
      const elsewhere = path.at(-1) === 'method' ? METHODS_ELSEWHERE.get(String(value)) : undefined
      if (elsewhere !== undefined) return elsewhere
      const values = issue.values.map(String)
      if (values.length === 1) return `must be ${values[0]}${but}`
      const near = typeof value === 'string' ? nearestName(value, values) : undefined
      return `must be one of ${values.join(', ')}${but}${near === undefined ? '' : `; did you mean ${near}?`}`
    }
    case 'custom':
    case 'invalid_format':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'not_multiple_of':
      return `${issue.message}${but}`
  }
}

/** The field that was probably meant by a name that is none, as a path, or undefined. */
export function meantField(
  path: readonly PropertyKey[],
  key: string,
  schema: JsonSchema,
): string[] | undefined {
  const here = nearestName(key, Object.keys(schemaAt(path, schema)?.properties ?? {}))
  if (here !== undefined) return [...path.map(String), here]
  // Right name, wrong section: spec.learningRate is meant for spec.train.learningRate.
  const all = fieldPaths(schema)
  const leaf = nearestName(key, new Set(all.map((field) => field.at(-1) ?? '')))
  return leaf === undefined ? undefined : all.find((field) => field.at(-1) === leaf)
}

/** Ways of tuning that people will write, and what they are here. */
const METHODS_ELSEWHERE = new Map([
  ['qlora', 'is qlora, which is lora on a 4-bit base here; write method: lora and precision: qlora'],
  ['dora', 'is dora, which is a kind of lora here; write method: lora and useDora: true'],
])

/** Fields of PEFT and TRL that people will write and that are not made yet. */
const NOT_YET = new Map(
  ['modulesToSave', 'modules_to_save'].map((name) => [
    name,
    'full training of single modules is not supported; adapt them with targetModules, or delete the line',
  ]),
)

function unknownField(path: readonly PropertyKey[], key: string, schema: JsonSchema): string {
  const notYet = NOT_YET.get(key)
  if (notYet !== undefined) return notYet
  const what = path.length === 0 ? 'is not a field of the document' : `is not a field of ${pathText(path)}`
  const meant = meantField(path, key, schema)
  if (meant === undefined)
    return `${what}; its fields are ${Object.keys(schemaAt(path, schema)?.properties ?? {}).join(', ')}`
  const sameSection = pathText(meant.slice(0, -1)) === pathText(path)
  return `${what}; did you mean ${sameSection ? (meant.at(-1) ?? '') : pathText(meant)}?`
}

function missing(path: readonly PropertyKey[], schema: JsonSchema): string {
  if (path.length === 0)
    return `is empty; a ${String(schema['title'])} document has apiVersion, kind, metadata and spec`
  const fields = Object.keys(schemaAt(path, schema)?.properties ?? {})
  return `is missing${example(path, schema) || (fields.length > 0 ? `; it has the fields ${fields.join(', ')}` : '')}`
}

function example(path: readonly PropertyKey[], schema: JsonSchema): string {
  const here = schemaAt(path, schema)
  const value = here?.const ?? here?.examples?.[0] ?? here?.default
  if (value === undefined) return ''
  return `; for example ${typeof path.at(-1) === 'number' ? '' : `${String(path.at(-1))}: `}${flow(value)}`
}

/** A value as YAML flow text, small enough for a sentence. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, inner]) => `${name}: ${flow(inner)}`)
      .join(', ')}}`
  }
  return String(value)
}

const entries = (number: number | bigint) => (Number(number) === 1 ? 'one entry' : `${number} entries`)

function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<PropertyKey, unknown>)[segment]
  }
  return value
}
