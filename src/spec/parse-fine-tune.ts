import { crossFieldProblems } from './cross-field-checks.ts'
import { documentError, readDocument, schemaProblems } from './document-errors.ts'
import { fineTuneSchema } from './fine-tune.ts'
import type { FineTuneSpec } from './fine-tune.ts'
import { fineTuneJsonSchema } from './json-schema.ts'

/**
 * A FineTune document, checked and with every default filled in. `where` names it in errors (the file, "request body").
 * Throws one InputError with all that is wrong, a line each: the field's path, what is wrong, the mend.
 */
export function parseFineTune(source: string | object, where: string): { name: string; spec: FineTuneSpec } {
  const read = readDocument(source, where)
  const parsed = fineTuneSchema.safeParse(read.document)
  const problems = [
    ...(parsed.success ? [] : schemaProblems(parsed.error.issues, read.document, fineTuneJsonSchema())),
    ...crossFieldProblems(read.document),
  ]
  if (!parsed.success || problems.length > 0) throw documentError(problems, where, read)
  const { metadata, spec } = parsed.data
  return {
    name: metadata.name,
    spec: { ...spec, publish: { ...spec.publish, name: spec.publish.name ?? metadata.name } },
  }
}
