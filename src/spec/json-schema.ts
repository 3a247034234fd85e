import { z } from 'zod'
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

/** The JSON schema of what a user writes (fields with defaults may be left out), generated from the zod schema. */
export function fineTuneJsonSchema(): JsonSchema {
  generated ??= { title: 'FineTune', ...z.toJSONSchema(fineTuneSchema, { io: 'input' }) } as JsonSchema
  return generated
}

/** The schema of one place in the document, or undefined where the document has no such place. */
export function schemaAt(path: readonly PropertyKey[]): JsonSchema | undefined {
  let schema: JsonSchema | undefined = fineTuneJsonSchema()
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
