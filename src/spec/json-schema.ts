import { z } from 'zod'
import { fineTuneScheduleSchema } from './fine-tune-schedule.ts'
import { fineTuneSchema } from './fine-tune.ts'

/** The parts of JSON Schema (draft 2020-12) that our own schema uses. */
export interface JsonSchema {
  description?: string
  examples?: unknown[]
  default?: unknown
  properties?: Record<string, JsonSchema>
  items?: JsonSchema
  anyOf?: JsonSchema[]
  type?: string
  const?: string
  enum?: string[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  [keyword: string]: unknown
}

let generated: JsonSchema | undefined
let generatedSchedule: JsonSchema | undefined

/** The JSON schema of what a user writes (fields with defaults may be left out), generated from the zod schema. */
export function fineTuneJsonSchema(): JsonSchema {
  generated ??= { title: 'FineTune', ...z.toJSONSchema(fineTuneSchema, { io: 'input' }) } as JsonSchema
  return generated
}

/** The JSON schema of a FineTuneSchedule, the FineTune in it written out. */
export function fineTuneScheduleJsonSchema(): JsonSchema {
  generatedSchedule ??= {
    title: 'FineTuneSchedule',
    ...z.toJSONSchema(fineTuneScheduleSchema, { io: 'input' }),
  } as JsonSchema
  return generatedSchedule
}

/** The same as a file for editors: what it shares with the FineTune stands in that one's file. */
export function fineTuneScheduleFileSchema(): JsonSchema {
  const schema = fineTuneScheduleJsonSchema()
  const spec = schema.properties?.['spec']
  const fineTune: JsonSchema = { $ref: 'fine-tune.schema.json#/properties/spec' }
  return {
    ...schema,
    properties: { ...schema.properties, spec: { ...spec, properties: { ...spec?.properties, fineTune } } },
  }
}

/** The schema of one place in the document, or undefined where the document has no such place. */
export function schemaAt(path: readonly PropertyKey[], root = fineTuneJsonSchema()): JsonSchema | undefined {
  let schema: JsonSchema | undefined = root
  for (const segment of path) {
    if (typeof segment === 'number') schema = schema?.items
    else schema = Object.entries(schema?.properties ?? {}).find(([name]) => name === segment)?.[1]
  }
  return schema
}

/** Every field of the document as a path, outer ones first. */
export function fieldPaths(schema = fineTuneJsonSchema(), above: string[] = []): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const path = [...above, name]
    return [path, ...fieldPaths(inner, path)]
  })
}
