import type { JsonSchema } from '../../src/spec/json-schema.ts'

/** A node of a structural schema: what the API server of Kubernetes takes (apiextensions.k8s.io/v1). */
export interface StructuralSchema {
  [keyword: string]: unknown
}

/** Keywords that both dialects write alike. The rest is translated below, or says nothing to an API server. */
const ALIKE = [
  'type',
  'enum',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'required',
]

/**
 * JSON Schema (draft 2020-12) as a structural schema. Defaults are told in the description instead of being written into the
 * object: the controller fills them in when it starts the job. Unknown fields are the API server's business (it refuses or
 * drops them), so `additionalProperties: false` has no counterpart.
 */
export function structuralSchema(schema: JsonSchema): StructuralSchema {
  if (schema.anyOf) return { ...described(schema), ...oneOfSeveral(schema.anyOf) }
  const node: StructuralSchema = described(schema)
  for (const keyword of ALIKE) if (schema[keyword] !== undefined) node[keyword] = schema[keyword]
  if (schema.const !== undefined) node['enum'] = [schema.const]
  if (schema.exclusiveMinimum !== undefined) {
    Object.assign(node, { minimum: schema.exclusiveMinimum, exclusiveMinimum: true })
  }
  if (schema.exclusiveMaximum !== undefined) {
    Object.assign(node, { maximum: schema.exclusiveMaximum, exclusiveMaximum: true })
  }
  if (schema.items) node['items'] = structuralSchema(schema.items)
  if (schema.properties) {
    node['properties'] = Object.fromEntries(
      Object.entries(schema.properties).map(([name, inner]) => [name, structuralSchema(inner)]),
    )
  }
  return node
}

/**
 * A field has one type in a structural schema, with one exception: a number or a text. Anything else of several types is let
 * through as it is, and the controller, which checks every document once more, says what is wrong with it.
 */
function oneOfSeveral(choices: readonly JsonSchema[]): StructuralSchema {
  const types = choices.map((choice) => choice.type)
  if (types.length !== 2 || !types.includes('string') || !types.includes('integer')) {
    return { 'x-kubernetes-preserve-unknown-fields': true }
  }
  const rules = choices.map((choice) =>
    choice.type === 'integer'
      ? `type(self) == int && self >= ${choice.minimum} && self <= ${choice.maximum}`
      : `type(self) == string && self == '${choice.const}'`,
  )
  const [number] = choices.filter(({ type }) => type === 'integer')
  const [word] = choices.filter(({ type }) => type === 'string')
  return {
    'x-kubernetes-int-or-string': true,
    'x-kubernetes-validations': [
      {
        rule: rules.map((rule) => `(${rule})`).join(' || '),
        message: `must be ${word?.const} or a whole number from ${number?.minimum} to ${number?.maximum}`,
      },
    ],
  }
}

function described({ description, default: value }: JsonSchema): StructuralSchema {
  if (description === undefined) return {}
  const told =
    value === undefined || typeof value === 'object'
      ? ''
      : ` Default: ${typeof value === 'string' ? value : JSON.stringify(value)}.`
  return { description: `${description}${told}` }
}
