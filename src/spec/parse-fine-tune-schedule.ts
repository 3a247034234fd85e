import { crossFieldProblems } from './cross-field-checks.ts'
import { documentError, readDocument, schemaProblems } from './document-errors.ts'
import { type FineTuneScheduleSpec, fineTuneScheduleSchema } from './fine-tune-schedule.ts'
import { fineTuneScheduleJsonSchema } from './json-schema.ts'

/**
 * A FineTuneSchedule document, checked and with every default filled in. Throws one InputError with all that is wrong, as
 * parseFineTune does.
 */
export function parseFineTuneSchedule(
  source: string | object,
  where: string,
): { name: string; spec: FineTuneScheduleSpec } {
  const read = readDocument(source, where)
  const parsed = fineTuneScheduleSchema.safeParse(read.document)
  const problems = [
    ...(parsed.success
      ? []
      : schemaProblems(parsed.error.issues, read.document, fineTuneScheduleJsonSchema())),
    // The checks between a job's fields, at the place where the job stands.
    ...crossFieldProblems({ spec: jobOf(read.document) }).map((problem) => ({
      ...problem,
      path: ['spec', 'fineTune', ...problem.path.slice(1)],
    })),
  ]
  if (!parsed.success || problems.length > 0) throw documentError(problems, where, read)
  const { metadata, spec } = parsed.data
  const { publish, ...job } = spec.fineTune
  return {
    name: metadata.name,
    spec: { ...spec, fineTune: { ...job, publish: { ...publish, name: publish.name ?? metadata.name } } },
  }
}

function jobOf(document: unknown): unknown {
  const spec = (document as { spec?: unknown } | null)?.spec
  return (spec as { fineTune?: unknown } | null | undefined)?.fineTune
}
